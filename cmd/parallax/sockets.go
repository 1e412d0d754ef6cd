package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// adminSocket is what the admin listener is called among sockets; a service's is
// called as the service.
const adminSocket = "parallax-admin"

// Environment of a process that gets listening sockets. The first three are
// systemd's protocol (sd_listen_fds(3)); a Parallax that is replaced passes its
// sockets on in the same way, and adds which listen address each stands for. It
// cannot know the other process's id, and so names its own.
const (
	listenPID   = "LISTEN_PID"
	listenFDs   = "LISTEN_FDS"
	listenNames = "LISTEN_FDNAMES"
	listenFor   = "PARALLAX_LISTEN_FOR"
	replaces    = "PARALLAX_REPLACES"
)

// firstFD is the descriptor of the first socket.
const firstFD = 3

// socket is a listening socket that was open before this process.
type socket struct {
	name     string
	address  string // of the configuration that it was opened for; empty: not known
	listener net.Listener
}

// sockets are the listening sockets a process was given. A nil one holds none.
type sockets struct {
	list     []socket
	replaces bool // they come from a Parallax that waits to be replaced
}

// givenSockets takes the sockets that the environment announces. None of them is
// inherited by processes that this one starts.
func givenSockets(getenv func(string) string) (*sockets, error) {
	s := &sockets{replaces: getenv(replaces) == strconv.Itoa(os.Getppid())}
	if !s.replaces && getenv(listenPID) != strconv.Itoa(os.Getpid()) {
		return nil, nil // meant for nobody, or for somebody else
	}
	n, err := strconv.Atoi(getenv(listenFDs))
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("cannot read %s=%q: want a number of sockets", listenFDs, getenv(listenFDs))
	}
	names, addresses := strings.Split(getenv(listenNames), ":"), strings.Split(getenv(listenFor), ",")
	for i := range n {
		syscall.CloseOnExec(firstFD + i)
	}
	for i := range n {
		file := os.NewFile(uintptr(firstFD+i), "socket")
		listener, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			s.close()
			return nil, fmt.Errorf("cannot use descriptor %d as a listening socket: %w", firstFD+i, err)
		}
		given := socket{listener: listener}
		if i < len(names) {
			given.name = names[i]
		}
		if s.replaces && i < len(addresses) {
			given.address = addresses[i]
		}
		s.list = append(s.list, given)
	}
	return s, nil
}

// listen returns the socket that was given for a listener, by its address or by
// its name, or opens one.
func (s *sockets) listen(name, address string) (net.Listener, error) {
	if s != nil {
		for _, fits := range []func(socket) bool{
			func(g socket) bool { return g.name == name && g.address == address },
			func(g socket) bool { return g.listener.Addr().String() == address },
			func(g socket) bool { return g.name == name && g.address == "" },
		} {
			for i, g := range s.list {
				if fits(g) {
					s.list = append(s.list[:i:i], s.list[i+1:]...)
					return g.listener, nil
				}
			}
		}
	}
	return net.Listen("tcp", address)
}

// closeRest closes the sockets that nobody asked for, whose callers would wait in
// vain.
func (s *sockets) closeRest(log *slog.Logger) {
	if s == nil {
		return
	}
	for _, g := range s.list {
		log.Warn("a listening socket that was passed on belongs to no listener of the configuration, and is closed", "name", g.name, "address", g.listener.Addr().String())
	}
	s.close()
}

func (s *sockets) close() {
	for _, g := range s.list {
		g.listener.Close()
	}
	s.list = nil
}

// duplicate returns another descriptor of a listening socket. Closing either
// leaves the other open.
func duplicate(l net.Listener) (net.Listener, error) {
	file, err := fileOf(l)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

// fileOf returns another descriptor of a listening socket. It stays as it is when a
// process inherits it: that of TCPListener.File would make the socket block, here
// too, so that the listener could not be closed while nobody comes.
func fileOf(l net.Listener) (file *os.File, err error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("the listener on %s has no descriptor to pass on", l.Addr())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	duplicated := raw.Control(func(fd uintptr) {
		var n int
		if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(n), l.Addr().String())
		}
	})
	if err = errors.Join(duplicated, err); err != nil {
		return nil, fmt.Errorf("cannot duplicate the socket of %s: %w", l.Addr(), err)
	}
	return file, nil
}
