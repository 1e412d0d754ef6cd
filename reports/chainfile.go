package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parallax/internal/atomicfile"
)

// Bounds of a chain on disk.
const (
	maxChainFile  = 8 << 20 // bytes of a file before the next one begins: about 15 000 decisions
	maxChainFiles = 8       // full ones that are kept; the oldest goes
	chainRetry    = 10 * time.Second
)

// Chain is the audit of the decisions on one service: an append-only file of
// [ChainRecord] in the folder of its state, SERVICE.verdicts. A full file is renamed
// to SERVICE.verdicts.N, N being its last record, and the next one begins with the
// hash of that.
//
// Nothing waits for it but who decides, and nothing stops for it: what cannot be
// written is logged and tried again. Its methods may be called from any goroutine;
// one process at a time may use it. The file is opened with the first record, so a
// process that is to take over does not touch it before.
type Chain struct {
	path string
	now  func() time.Time
	log  *slog.Logger
	most int64 // maxChainFile, less in tests

	mu    sync.Mutex
	open  bool
	size  int64
	end   Link
	last  *Decided  // the latest verdict in the file
	again time.Time // not tried before, after an error
}

// NewChain returns the chain of a service whose state is in dir.
func NewChain(dir, service string, now func() time.Time, log *slog.Logger) *Chain {
	return &Chain{path: ChainPath(dir, service), now: now, log: log.With("service", service), most: maxChainFile}
}

// ChainPath returns where the chain of a service is.
func ChainPath(dir, service string) string {
	return filepath.Join(dir, url.PathEscape(service)+".verdicts")
}

// Decide appends a verdict if it says something else than the latest one, on whatever
// evidence, and returns the head: the hash of the latest record, empty while there is
// none.
func (c *Chain) Decide(v Verdict, on Folded) (head string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := decided(v, on)
	if err := c.ready(); err != nil {
		return c.failed(err)
	}
	if c.last != nil {
		last := *c.last
		last.Evidence = on
		if reflect.DeepEqual(last, next) {
			return c.end.Hash
		}
	}
	if err := c.append(ChainRecord{Kind: ChainVerdict, Verdict: &next}); err != nil {
		return c.failed(err)
	}
	return c.end.Hash
}

// Move appends a change of the step; kind is [ChainStep] or [ChainRollback].
func (c *Chain) Move(kind ChainKind, m Moved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = time.Time{} // such a change is told once
	err := c.ready()
	if err == nil {
		err = c.append(ChainRecord{Kind: kind, Moved: &m})
	}
	if err != nil {
		c.failed(err)
	}
}

var errChainWaits = errors.New("it is tried again soon")

// keep appends records, and tries at once whatever happened before.
func (c *Chain) keep(records ...ChainRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = time.Time{}
	err := c.ready()
	if err == nil {
		err = c.append(records...)
	}
	if err != nil {
		c.open = false
	}
	return err
}

// failed logs an error once a while and returns the head that stands.
func (c *Chain) failed(err error) (head string) {
	if !errors.Is(err, errChainWaits) {
		c.log.Error("a decision is not in the chain", "file", c.path, "error", err)
		c.open, c.again = false, c.now().Add(chainRetry)
	}
	return c.end.Hash
}

// ready opens the file, again if its size is not what was written: then an append
// failed half-way, or somebody else wrote.
func (c *Chain) ready() error {
	if c.now().Before(c.again) {
		return errChainWaits
	}
	info, err := os.Stat(c.path)
	if c.open && err == nil && info.Size() == c.size {
		return nil
	}
	c.open, c.last = false, nil
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	if err := c.read(); err != nil {
		return err
	}
	c.open = true
	return nil
}

// read finds the end of the chain, and mends the file where it has to be.
func (c *Chain) read() error {
	text, whole, err := readAtMost(c.path, 2*c.most+maxChainLine)
	if errors.Is(err, fs.ErrNotExist) {
		return c.begin()
	}
	if err != nil {
		return err
	}
	before, _, err := lastOf(c.path)
	if err != nil {
		before = Link{} // the older files are for parallax audit verify to judge
	}
	end, fault := WalkChain(bytes.NewReader(text), before, c.note)
	if fault != nil && end.Lines == 0 && before != (Link{}) {
		c.last = nil
		end, fault = WalkChain(bytes.NewReader(text), Link{}, c.note) // it goes on from what is not there any more
	}
	c.end, c.size = end.Link, end.Size
	if fault == nil && !whole {
		fault = &ChainFault{end.Lines + 1, errors.New("the file is far larger than one is ever written")}
	}
	switch {
	case fault != nil:
		return c.setAside(text[:end.Size], before, fault)
	case end.Torn > 0:
		return c.cut(end)
	case end.Lines == 0:
		return c.begin()
	}
	return nil
}

func (c *Chain) note(_ int, r ChainRecord, _ string) {
	if r.Verdict != nil {
		c.last = r.Verdict
	}
}

// begin starts a file: the first of all, or the one after a full one.
func (c *Chain) begin() error {
	end, name, err := lastOf(c.path)
	for fault := (*ChainFault)(nil); errors.As(err, &fault); end, name, err = lastOf(c.path) {
		c.log.Error("a full file of a chain has no good last record, so it is kept under another name", "file", name, "error", err)
		if err := os.Rename(name, c.beside()); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	c.end, c.size = end, 0
	if name == "" {
		return atomicfile.Replace(c.path, nil)
	}
	return c.anew(nil, ChainRecord{Kind: ChainContinues, Note: "after " + filepath.Base(name)})
}

// cut takes off a last line that is not whole. Nobody was told of its record: it is
// told once the file is synced.
func (c *Chain) cut(end ChainEnd) error {
	if err := os.Truncate(c.path, end.Size); err != nil {
		return err
	}
	c.log.Warn("the last record of the chain was not whole and is cut off, as after a crash", "file", c.path, "bytes", end.Torn)
	return c.append(ChainRecord{Kind: ChainCut, Note: fmt.Sprintf("%d bytes of a line that was not whole", end.Torn)})
}

// setAside keeps a broken file under another name and goes on after what is good of it.
func (c *Chain) setAside(good []byte, before Link, fault error) error {
	beside := c.beside()
	if err := os.Link(c.path, beside); err != nil {
		if err := os.Rename(c.path, beside); err != nil {
			return err
		}
	}
	c.log.Error("the chain is broken: somebody changed it, or the disk did; the file is kept, and a new one goes on after its last good record", "file", beside, "error", fault)
	record := ChainRecord{Kind: ChainBroken, Note: fmt.Sprintf("%s: %v", filepath.Base(beside), fault)}
	if len(good) == 0 && before != (Link{}) {
		c.end, record.Kind = before, ChainContinues
	}
	if len(record.Note) > maxChainLine/8 {
		record.Note = strings.ToValidUTF8(record.Note[:maxChainLine/8], "")
	}
	return c.anew(good, record)
}

// beside names a broken file that is kept.
func (c *Chain) beside() string { return fmt.Sprintf("%s.broken-%d", c.path, c.now().UnixNano()) }

// next makes the next record and moves the end of the chain there. A record without a time is of now.
func (c *Chain) next(r ChainRecord) ([]byte, error) {
	r.Seq, r.Prev = c.end.Seq+1, c.end.Hash
	if r.At.IsZero() {
		r.At = c.now()
	}
	r.At = r.At.UTC()
	line, hash, err := r.seal()
	if err == nil {
		c.end = Link{r.Seq, hash}
	}
	return line, err
}

// anew replaces the file by what is good of it and a record. After an error the end is where
// it was: a head that is on no disk would make a log of CI accuse a good chain.
func (c *Chain) anew(good []byte, r ChainRecord) error {
	before := c.end
	line, err := c.next(r)
	if err == nil {
		good = append(good, line...)
		err = atomicfile.Replace(c.path, good)
	}
	if err != nil {
		c.end = before
		return err
	}
	c.size = int64(len(good))
	return nil
}

// append writes records and syncs them. After an error the file is read again.
func (c *Chain) append(records ...ChainRecord) error {
	if c.size >= c.most {
		if err := c.turn(); err != nil {
			return err
		}
	}
	before := c.end
	lines, err := c.nextAll(records)
	if err == nil {
		err = appendSynced(c.path, lines)
	}
	if err != nil {
		c.end = before
		return err
	}
	for _, r := range records {
		if r.Verdict != nil {
			c.last = r.Verdict
		}
	}
	c.size += int64(len(lines))
	return nil
}

func (c *Chain) nextAll(records []ChainRecord) (lines []byte, err error) {
	for _, r := range records {
		line, err := c.next(r)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line...)
	}
	return lines, nil
}

func appendSynced(path string, lines []byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(lines)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// turn begins the next file, and removes the oldest beyond those that are kept.
func (c *Chain) turn() error {
	if err := os.Rename(c.path, c.path+"."+strconv.FormatUint(c.end.Seq, 10)); err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	full, err := fullFiles(c.path)
	for ; err == nil && len(full) > maxChainFiles; full = full[1:] {
		err = os.Remove(full[0])
	}
	return err
}

// ChainFiles returns the files of the chain at path that there are, in their order:
// the full ones, then the one at path.
func ChainFiles(path string) ([]string, error) {
	files, err := fullFiles(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err == nil {
		files = append(files, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return files, nil
}

// fullFiles returns the full files of a chain, in their order.
func fullFiles(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	bySeq := map[string]uint64{}
	var out []string
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		if seq, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			name := filepath.Join(filepath.Dir(path), e.Name())
			bySeq[name], out = seq, append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if bySeq[a] < bySeq[b] {
			return -1
		}
		return 1
	})
	return out, nil
}

// lastOf returns the end of the newest full file of a chain, and its name; none when
// there is no such file.
func lastOf(path string) (Link, string, error) {
	full, err := fullFiles(path)
	if err != nil || len(full) == 0 {
		return Link{}, "", err
	}
	name := full[len(full)-1]
	text, err := readEnd(name)
	if err != nil {
		return Link{}, "", err
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	r, hash, err := unseal(lines[len(lines)-1])
	if err != nil {
		return Link{}, name, &ChainFault{Err: fmt.Errorf("the last line of %q: %w", name, err)}
	}
	return Link{r.Seq, hash}, name, nil
}

// readEnd returns what a file ends with, at least one line of a chain.
func readEnd(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(file, max(info.Size()-2*maxChainLine, 0), 2*maxChainLine))
}

// readAtMost returns a file, of a longer one the beginning.
func readAtMost(path string, most int64) (text []byte, whole bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	text, err = io.ReadAll(io.LimitReader(file, most))
	return text, int64(len(text)) < most, err
}
