//go:build unix && (!linux || race || !(amd64 || arm64))

package h1

import "syscall"

// The race detector learns from package syscall what happened before what.
func sysRead(fd uintptr, p []byte) (int, error)  { return syscall.Read(int(fd), p) }
func sysWrite(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }
