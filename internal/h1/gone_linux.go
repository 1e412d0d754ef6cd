package h1

import (
	"encoding/binary"
	"syscall"
)

// established is TCP_ESTABLISHED of the kernel's tcp_states.h.
const established = 1

// peerLeft asks the kernel whether the peer has closed or reset the connection.
// It sees that behind bytes which nobody has read yet, too, and it does not
// know of sockets other than TCP.
func peerLeft(fd uintptr) bool {
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return false
	}
	var first [4]byte
	binary.NativeEndian.PutUint32(first[:], uint32(info))
	return first[0] != established // tcp_info begins with the state, one byte
}
