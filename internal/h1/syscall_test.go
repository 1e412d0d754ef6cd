//go:build unix

package h1

import (
	"net"
	"syscall"
	"testing"
)

// BenchmarkSystemCalls is what this package asks of the kernel for one message of
// 1 KB: a look that finds nothing, a write and a read, over loopback; beside that,
// what the same costs as package syscall does it.
func BenchmarkSystemCalls(b *testing.B) {
	run := func(read, write func(fd uintptr, p []byte) (int, error)) func(b *testing.B) {
		return func(b *testing.B) {
			from, to := descriptors(b)
			p := make([]byte, bufferSize)
			for b.Loop() {
				if _, err := read(to, p); err != errWouldBlock && err != syscall.EAGAIN {
					b.Fatal(err)
				}
				if _, err := write(from, kilobyte); err != nil {
					b.Fatal(err)
				}
				if _, err := read(to, p); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("ours", run(readSocket, writeSocket))
	b.Run("package syscall", run(
		func(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) },
		func(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) },
	))
}

// descriptors returns those of the two ends of a connection, which lasts as long
// as b.
func descriptors(b *testing.B) (one, other uintptr) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	descriptor := func(conn net.Conn) (fd uintptr) {
		raw, err := conn.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(number uintptr) { fd = number })
		}
		if err != nil {
			b.Fatal(err)
		}
		return fd
	}
	return descriptor(dialled), descriptor(accepted)
}
