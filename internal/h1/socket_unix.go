//go:build unix

package h1

import "syscall"

// socketReads says that a socket can be read without waiting.
const socketReads = true

// readSocket reads what is there. It gives errWouldBlock if nothing is.
func readSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
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
