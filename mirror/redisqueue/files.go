package redisqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// files keep sealed exchanges on disk while Redis is away: files of up to maxFile, each
// written once from its begin to its end and removed once it was read. They are not synced:
// they are for a Redis that is away, not for a machine that fails. One goroutine uses them.
//
// A record is the lengths of tag and text, as 4 bytes each, then both. A file that ends in the
// middle of a record was cut off by a kill; the rest of it is read.
type files struct {
	dir  string
	max  int64
	lock *os.File
	mine bool // the lock is held, and what was left is found

	size    int64    // of all
	names   []string // oldest first; the one being written is the last
	writing *os.File
	wrote   int64 // to writing
	made    int
	found   int // of names: those that a process of before wrote
}

const (
	maxFile    = 8 << 20
	recordHead = 8
	suffix     = ".queue"
)

// errNoRoom is that files would take more than they may.
var errNoRoom = errors.New("no room on disk for more exchanges")

// openFiles opens a folder, which it makes where there is none.
func openFiles(dir string, max int64) (*files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	return &files{dir: dir, max: max, lock: lock}, err
}

// usable reports whether no other process uses the folder. Once it does not, what that one has
// left is found.
func (f *files) usable() bool {
	if f == nil || f.mine {
		return f != nil
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return false
	}
	f.mine = true
	if err := f.find(); err != nil {
		f.max = 0 // nothing can be put here
	}
	f.found = len(f.names)
	return true
}

func (f *files) find() error {
	list, err := os.ReadDir(f.dir)
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		f.size += info.Size()
		f.names = append(f.names, e.Name())
		if _, err := fmt.Sscanf(e.Name(), "%d", &f.made); err != nil {
			return fmt.Errorf("%s is not a file of the queue; move it away", filepath.Join(f.dir, e.Name()))
		}
	}
	slices.Sort(f.names)
	return err
}

// empty reports whether nothing is kept.
func (f *files) empty() bool { return !f.usable() || len(f.names) == 0 }

// put keeps exchanges, all of them or none.
func (f *files) put(list []entry) error {
	var b []byte
	for _, e := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.tag)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.text)))
		b = append(append(b, e.tag...), e.text...)
	}
	if !f.usable() || f.size+int64(len(b)) > f.max {
		return errNoRoom
	}
	if err := f.roll(int64(len(b))); err != nil {
		return err
	}
	n, err := f.writing.Write(b)
	if err != nil {
		err = errors.Join(err, f.writing.Truncate(f.wrote))
		f.seal()
		return err
	}
	f.size, f.wrote = f.size+int64(n), f.wrote+int64(n)
	return nil
}

// roll begins another file where the one being written is full.
func (f *files) roll(more int64) error {
	if f.writing != nil && f.wrote+more <= maxFile {
		return nil
	}
	f.seal()
	name := fmt.Sprintf("%012d%s", f.made+1, suffix)
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.made, f.writing, f.wrote, f.names = f.made+1, file, 0, append(f.names, name)
	return nil
}

// seal ends the file being written.
func (f *files) seal() {
	if f.writing != nil {
		f.writing.Close()
		f.writing = nil
	}
}

// first returns what is in the oldest file and not in Redis, and whether a process of before has
// written it. Nothing is put into that file any more.
func (f *files) first() (list []entry, found bool, err error) {
	if len(f.names) == 1 {
		f.seal()
	}
	b, err := os.ReadFile(filepath.Join(f.dir, f.names[0]))
	if err != nil {
		return nil, false, err
	}
	list = records(b)
	return list[min(f.sent(), len(list)):], f.found > 0, nil
}

// sent is how many exchanges of the oldest file are in Redis.
func (f *files) sent() int {
	text := make([]byte, 64)
	n, _ := f.lock.ReadAt(text, 0)
	name, count, _ := strings.Cut(strings.TrimSpace(string(text[:n])), " ")
	if sent, err := strconv.Atoi(count); err == nil && name == f.names[0] {
		return sent
	}
	return 0
}

// note says that so many more exchanges of the oldest file are in Redis.
func (f *files) note(more int) error {
	_, err := f.lock.WriteAt(fmt.Appendf(nil, "%-63s\n", fmt.Sprintf("%s %d", f.names[0], f.sent()+more)), 0)
	return err
}

func records(b []byte) (out []entry) {
	r := bytes.NewReader(b)
	for {
		var head [recordHead]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return out
		}
		tag, text := int(binary.BigEndian.Uint32(head[:])), int(binary.BigEndian.Uint32(head[4:]))
		if tag+text > r.Len() {
			return out
		}
		at := len(b) - r.Len()
		out = append(out, entry{tag: string(b[at : at+tag]), text: string(b[at+tag : at+tag+text]), size: text, waited: true})
		r.Seek(int64(tag+text), io.SeekCurrent)
	}
}

// done removes the oldest file.
func (f *files) done() error {
	path := filepath.Join(f.dir, f.names[0])
	info, err := os.Stat(path)
	if err == nil {
		f.size -= info.Size()
		err = os.Remove(path)
	}
	f.names, f.found = f.names[1:], max(f.found-1, 0)
	return err
}

func (f *files) close() error {
	f.seal()
	return f.lock.Close()
}
