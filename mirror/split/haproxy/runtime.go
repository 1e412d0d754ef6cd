package haproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"parallax/mirror/split"
)

// runtime is the runtime socket of an HAProxy.
type runtime struct {
	cfg split.HAProxy
}

// Bounds of one command.
const (
	answerWithin = 2 * time.Second
	maxAnswer    = 256 << 10 // bytes
)

// workers returns what a command begins with to reach each worker: the present one
// first, then those of before a reload that still serve.
func (r runtime) workers(ctx context.Context) ([]string, error) {
	if !r.cfg.Master {
		return []string{""}, nil
	}
	text, err := r.ask(ctx, "show proc")
	if err != nil {
		return nil, err
	}
	var prefixes []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "worker" {
			prefixes = append(prefixes, "@!"+f[0]+" ")
		}
	}
	if len(prefixes) == 0 {
		return nil, fmt.Errorf("the master of HAProxy at %s knows no worker: %.200q; is master: true right?", r.cfg.Socket, text)
	}
	return prefixes, nil
}

// process names a worker: it is another after a restart or a reload.
func (r runtime) process(ctx context.Context, prefix string) (string, error) {
	text, err := r.ask(ctx, prefix+"show info")
	if err != nil {
		return "", err
	}
	pid, started := field(text, "Pid"), field(text, "Start_time_sec")
	if pid == "" {
		return "", fmt.Errorf("HAProxy at %s does not tell its process: %.200q", r.cfg.Socket, text)
	}
	return pid + "/" + started, nil
}

// field returns a field of what HAProxy shows.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// ask sends one command and returns the answer. A command that was sent is waited
// for even if ctx ends, so that none is carried out after a later one.
func (r runtime) ask(ctx context.Context, command string) (string, error) {
	dialer := net.Dialer{Timeout: answerWithin}
	conn, err := dialer.DialContext(ctx, r.cfg.Network(), r.cfg.Socket)
	if err != nil {
		return "", fmt.Errorf("cannot reach HAProxy's runtime socket: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+";quit\n"); err != nil {
		return "", fmt.Errorf("cannot ask HAProxy at %s: %w", r.cfg.Socket, err)
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("no answer from HAProxy at %s: %w", r.cfg.Socket, err)
	}
	return string(text), nil
}
