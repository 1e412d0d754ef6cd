// Package haproxy keeps the step in a map of an HAProxy, over its runtime socket.
// HAProxy compares a hash of the user with that entry at each request, so that a
// step is in force from the next request on, on connections that are open already
// too. deploy/splitters/haproxy.cfg is the configuration this needs. Where users are
// to be split by the weights of two servers, it keeps those instead.
package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"parallax/internal/atomicfile"
	"parallax/mirror/split"
	"parallax/mirror/split/push"
)

// Map is an entry of a map of an HAProxy.
type Map struct{ runtime }

var _ push.Splitter = (*Map)(nil)

// New returns what a configuration names: a [Map], or [Servers]. Nothing is opened yet.
func New(c split.HAProxy) push.Splitter {
	if c.Weights != nil {
		return &Servers{runtime{c}, *c.Weights}
	}
	return &Map{runtime{c.WithDefaults()}}
}

// maxFile is how large a map's file may be, in bytes.
const maxFile = 4 << 20

// Push implements [push.Splitter]: first the map in memory, of every worker that is
// known, then the file that a restart reads.
func (m *Map) Push(ctx context.Context, step int) error {
	workers, err := m.workers(ctx)
	if err != nil {
		return err
	}
	for _, prefix := range workers {
		err = errors.Join(err, m.set(ctx, prefix, step))
	}
	return errors.Join(err, m.keep(step))
}

// Read implements [push.Splitter]: the step of the present worker. Step 0 is read
// only when workers of before a reload hold it too.
func (m *Map) Read(ctx context.Context) (push.Standing, error) {
	workers, err := m.workers(ctx)
	if err != nil {
		return push.Standing{}, err
	}
	process, err := m.process(ctx, workers[0])
	if err != nil {
		return push.Standing{}, err
	}
	step, err := m.get(ctx, workers[0])
	if err != nil || step != 0 {
		return push.Standing{Step: step, Process: process}, err
	}
	for _, old := range workers[1:] {
		if still, err := m.get(ctx, old); err == nil && still != 0 { // an error: it has ended
			return push.Standing{Step: still, Process: process}, nil
		}
	}
	return push.Standing{Process: process}, nil
}

// get reads the entry. Without one it is 0: the configuration's default.
func (m *Map) get(ctx context.Context, prefix string) (int, error) {
	text, err := m.ask(ctx, fmt.Sprintf("%sget map %s %s", prefix, m.cfg.Map, m.cfg.Key))
	if err != nil {
		return 0, err
	}
	if strings.Contains(text, "found=no") {
		return 0, nil
	}
	_, value, ok := strings.Cut(text, `value="`)
	value, _, closed := strings.Cut(value, `"`)
	step, err := strconv.Atoi(value)
	if !ok || !closed || err != nil || step < 0 || step > split.Buckets {
		return 0, fmt.Errorf("cannot read the step from the map %s of HAProxy at %s: %.200q; want an entry %q with 0 to 10000", m.cfg.Map, m.cfg.Socket, strings.TrimSpace(text), m.cfg.Key)
	}
	return step, nil
}

// set changes the entry, or adds it.
func (m *Map) set(ctx context.Context, prefix string, step int) error {
	text, err := m.ask(ctx, fmt.Sprintf("%sset map %s %s %d", prefix, m.cfg.Map, m.cfg.Key, step))
	if err == nil && strings.Contains(text, "entry not found") {
		text, err = m.ask(ctx, fmt.Sprintf("%sadd map %s %s %d", prefix, m.cfg.Map, m.cfg.Key, step))
	}
	if text = strings.TrimSpace(text); err == nil && text != "" {
		err = fmt.Errorf("HAProxy at %s refuses the step for the map %s: %.200q; map must be spelt as in haproxy.cfg, and the socket needs level admin", m.cfg.Socket, m.cfg.Map, text)
	}
	return err
}

// keep writes the step to the map's file, beside what else stands there.
func (m *Map) keep(step int) error {
	if m.cfg.File == split.NoFile {
		return nil
	}
	err := m.rewrite(step)
	if err != nil {
		return fmt.Errorf("the step is in force, but HAProxy forgets it when it is restarted: cannot write the map's file: %w; name it in file as it is seen from here, or write file: none", err)
	}
	return nil
}

func (m *Map) rewrite(step int) error {
	info, err := os.Stat(m.cfg.File)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s has %d bytes, more than %d", m.cfg.File, info.Size(), maxFile)
	}
	text, err := os.ReadFile(m.cfg.File)
	if err != nil {
		return err
	}
	next := withEntry(string(text), m.cfg.Key, step)
	if next == string(text) {
		return nil
	}
	return atomicfile.ReplaceAs(m.cfg.File, []byte(next), info.Mode().Perm()&fs.ModePerm)
}

// withEntry returns a map's text with the value of one key replaced, or added.
func withEntry(text, key string, step int) string {
	var out strings.Builder
	found := false
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == key {
			if found {
				continue // a second one would win or lose by HAProxy's order
			}
			line, found = fmt.Sprintf("%s %d\n", key, step), true
		}
		out.WriteString(line)
	}
	if !found {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s %d\n", key, step)
	}
	return out.String()
}
