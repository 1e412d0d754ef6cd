//go:build !unix

package h1

// socketReads says that sockets are read through package net alone.
const socketReads = false

func readSocket(uintptr, []byte) (int, error) { return 0, errWouldBlock }

func writeSocket(uintptr, []byte) (int, error) { return 0, errWouldBlock }
