//go:build unix

package h1

import "syscall"

// socketReads says that a socket can be read without waiting.
const socketReads = true

// readSocket reads what is there. It gives errWouldBlock if nothing is.
func readSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := sysRead(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, err
		}
	}
}

// writeSocket writes what the kernel takes at once. It gives errWouldBlock if that
// is nothing.
func writeSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := sysWrite(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, err
		}
	}
}
