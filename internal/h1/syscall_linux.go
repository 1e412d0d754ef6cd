//go:build linux && !race

package h1

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite do not tell the scheduler that they are in the kernel,
// which saves its thread the processor's loss and return: package net's sockets
// never block there. It is an eighth of a mirrored request (BenchmarkMirrored).
func sysRead(fd uintptr, p []byte) (int, error)  { return transfer(syscall.SYS_READ, fd, p) }
func sysWrite(fd uintptr, p []byte) (int, error) { return transfer(syscall.SYS_WRITE, fd, p) }

func transfer(call, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
