package main

import "net"

// adminSocket is what the admin listener is called among sockets.
const adminSocket = "parallax-admin"

// sockets are listeners that were open before this process.
type sockets struct{}

// listen opens the listener called name.
func (s *sockets) listen(_, address string) (net.Listener, error) {
	return net.Listen("tcp", address)
}
