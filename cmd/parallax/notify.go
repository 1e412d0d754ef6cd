package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notify tells the service manager, systemd, how this process is doing; without
// one it does nothing (sd_notify(3)). A manager that does not listen is not worth
// an error: it finds out by its own means.
func notify(getenv func(string) string, state ...string) {
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	conn, err := net.Dial("unixgram", address)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(strings.Join(state, "\n")))
}

// States for notify.
const (
	serving  = "READY=1" // also at the end of a reload
	shutting = "STOPPING=1"
)

// reloading is the state of a process that begins to reload, at the time of the
// clock that the manager compares it with.
func reloading() []string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // exists everywhere
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}

// mainIs names the process that the manager is to watch from now on.
func mainIs(p *os.Process) string { return fmt.Sprintf("MAINPID=%d", p.Pid) }
