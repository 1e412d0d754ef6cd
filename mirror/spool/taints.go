package spool

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxTaints bounds what is tainted one by one.
const maxTaints = 1 << 16

// taints is what the leg's state lacks for good.
type taints struct {
	known map[Key]bool // whether what lies below is tainted too
	all   bool
	again stale // what is written down once more when it is tainted again
	read  int64 // bytes of the file when it was read last
}

// stale is what was tainted before a time from which on the file has to tell.
type stale struct {
	keys map[Key]bool
	all  bool
}

// take reports whether a taint is to be written down once more. It is only once.
func (s *stale) take(k Key, all bool) (was bool) {
	if all {
		was, s.all = s.all, false
		return was
	}
	was = s.keys[k]
	delete(s.keys, k)
	return was
}

// taintsFile is the list in the spool's folder. A line is a key in hex, + if what lies
// below is tainted too, and why; or * for the leg as a whole.
func (s *Spool) taintsFile() string { return filepath.Join(s.dir, "tainted") }

// add notes a taint and reports whether it is a new one. Beyond the bound all is tainted.
func (t *taints) add(e Entity) bool {
	below, known := t.known[e.Key]
	switch {
	case t.all, known && (below || !e.Below):
		return false
	case !known && len(t.known) >= maxTaints:
		t.all = true
		return true
	}
	if t.known == nil {
		t.known = map[Key]bool{}
	}
	t.known[e.Key] = e.Below || below
	return true
}

// holds reports whether a lane or one of the entities that a request is about is
// tainted. The first entity is the request's own, those that follow are above it.
func (t *taints) holds(lane Key, about []Entity) bool {
	if t.all {
		return true
	}
	if _, ok := t.known[lane]; ok && lane != (Key{}) {
		return true
	}
	for i, e := range about {
		if below, ok := t.known[e.Key]; ok && (i == 0 || below) {
			return true
		}
	}
	return false
}

func (t *taints) count() int {
	if t.all {
		return maxTaints
	}
	return len(t.known)
}

// line is a taint as it stands in the file.
func line(e Entity, all bool, why string) string {
	if all {
		return "* " + why + "\n"
	}
	mark := " "
	if e.Below {
		mark = "+ "
	}
	return hex.EncodeToString(e.Key[:]) + mark + why + "\n"
}

// readTaints reads the file, if it has grown. A line that is none makes the leg tainted
// as a whole.
func (s *Spool) readTaints() error {
	file, err := os.Open(s.taintsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Size() == s.tainted.read {
		return nil
	}
	s.tainted.read = info.Size()
	defer s.refresh()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var e Entity
		word, _, _ := strings.Cut(lines.Text(), " ")
		word, e.Below = strings.CutSuffix(word, "+")
		if n, err := hex.Decode(e.Key[:], []byte(word[:min(len(word), 2*len(e.Key))])); err != nil || n != len(e.Key) {
			s.tainted.all = true
			continue
		}
		s.tainted.add(e)
	}
	return lines.Err()
}

// writeLine appends a line to a file of the spool's, and has it on disk.
func (s *Spool) writeLine(path, text string) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Sync(), file.Close())
}
