//go:build linux && !race && (amd64 || arm64)

package h1

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite do not tell the scheduler that they are in the kernel,
// which saves its thread the processor's loss and return: package net's sockets
// never block there. It is an eighth of a mirrored request (BenchmarkMirrored).
// They ask for a socket's transfer, since a net.Conn with a descriptor is one, which
// spares the kernel what it does for files of any kind: a tenth of a read that finds
// nothing (BenchmarkSystemCalls).
func sysRead(fd uintptr, p []byte) (int, error) { return transfer(syscall.SYS_RECVFROM, fd, p, 0) }

// A connection that the peer has closed gives an error, not a signal.
func sysWrite(fd uintptr, p []byte) (int, error) {
	return transfer(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

func transfer(call, fd uintptr, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
