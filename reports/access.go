package reports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Access is what somebody did at the admin listener, or tried to: never what they saw there, nor what they sent.
type Access struct {
	Deed    AccessDeed `json:"deed"`
	Who     string     `json:"who,omitempty"`  // the name of a token; empty: nobody knows
	Role    string     `json:"role,omitempty"` // of the token
	From    string     `json:"from,omitempty"` // address, without its port
	Route   string     `json:"route"`          // method and path, with what is different from one to the next by its name
	Service string     `json:"service,omitempty"`
	Object  string     `json:"object,omitempty"` // which one of the route: an exchange's id, an issue's fingerprint
	Status  int        `json:"status"`           // of the answer, as in HTTP
}

// AccessDeed says what kind of deed it is.
type AccessDeed string

// The deeds.
const (
	Viewed    AccessDeed = "view"   // asked for something that may hold what callers and databases had, or for the audit
	Changed   AccessDeed = "change" // asked for a change
	LoggedIn  AccessDeed = "login"  // gave a token that is looked at once: in a browser, or one of a program that is not in force
	LoggedOut AccessDeed = "logout"
)

// AccessDeeds are all there are.
var AccessDeeds = []AccessDeed{Viewed, Changed, LoggedIn, LoggedOut}

// maxAccessText bounds each text of an access, in bytes: some of them are what a caller sends.
const maxAccessText = 120

// bounded is the access with its texts cut.
func (a Access) bounded() Access {
	for _, text := range []*string{&a.Who, &a.Role, &a.From, &a.Route, &a.Service, &a.Object} {
		if len(*text) > maxAccessText {
			*text = (*text)[:maxAccessText] + "…"
		}
	}
	return a
}

// Bounds of accesses that are not on disk yet.
const (
	accessesWaiting = 1024
	accessBatch     = 256 // that are synced together
	accessPatience  = time.Second
	accessRetry     = 5 * time.Second
)

// AccessLog is the audit of the admin listener of one process: a chain of [ChainRecord] of kind access, in the file
// admin.access of a folder, kept as [Chain] keeps decisions. Up to 1024 records wait to be written while [AccessLog.Run]
// runs; what finds no room is lost, counted, and told in the file as soon as that can be written. A process that is
// killed loses what waits, of a few milliseconds.
type AccessLog struct {
	chain   *Chain
	now     func() time.Time
	log     *slog.Logger
	waiting chan ChainRecord
	failing atomic.Pointer[string] // why nothing can be written; nil: it can
	lost    atomic.Uint64          // that the file does not tell of yet
	ever    atomic.Uint64
}

// NewAccessLog returns the audit in a folder.
func NewAccessLog(dir string, now func() time.Time, log *slog.Logger) *AccessLog {
	log = log.With("audit", "admin")
	return &AccessLog{
		chain: &Chain{path: AccessPath(dir), now: now, log: log, most: maxChainFile},
		now:   now, log: log, waiting: make(chan ChainRecord, accessesWaiting),
	}
}

// AccessPath returns where the audit of the admin listener is.
func AccessPath(dir string) string { return filepath.Join(dir, "admin.access") }

// Note hands an access over. It waits for room for a second at most, and not at all while nothing can be written.
func (l *AccessLog) Note(a Access) {
	a = a.bounded()
	r := ChainRecord{Kind: ChainAccess, At: l.now(), Access: &a}
	select {
	case l.waiting <- r:
		return
	default:
	}
	if l.failing.Load() == nil {
		patience := time.NewTimer(accessPatience)
		defer patience.Stop()
		select {
		case l.waiting <- r:
			return
		case <-patience.C:
		}
	}
	l.lose(1)
}

func (l *AccessLog) lose(n int) {
	if l.lost.Add(uint64(n)) == uint64(n) {
		l.log.Error("what somebody did at the admin listener is lost to its audit; more is counted in parallax_audit_lost_total")
	}
	l.ever.Add(uint64(n))
}

// Lost returns how many accesses were lost since the process began.
func (l *AccessLog) Lost() uint64 { return l.ever.Load() }

// Err says why nothing can be written, nil while it can.
func (l *AccessLog) Err() error {
	if why := l.failing.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// Run writes what is handed over until ctx ends, then what still waits. It may be called again then.
func (l *AccessLog) Run(ctx context.Context) error {
	for {
		select {
		case first := <-l.waiting:
			l.write(ctx, l.batch(first))
		case <-ctx.Done():
			l.finish()
			return nil
		}
	}
}

// finish writes what waits, and loses what cannot be written.
func (l *AccessLog) finish() {
	for {
		select {
		case first := <-l.waiting:
			batch := l.batch(first)
			if err := l.keep(batch); err != nil {
				l.log.Error("the audit of the admin listener cannot be written", "file", l.chain.path, "records", len(batch), "error", err)
				l.lose(len(batch))
			}
		default:
			return
		}
	}
}

// batch is a record with those that wait behind it.
func (l *AccessLog) batch(first ChainRecord) []ChainRecord {
	out := []ChainRecord{first}
	for len(out) < accessBatch {
		select {
		case r := <-l.waiting:
			out = append(out, r)
		default:
			return out
		}
	}
	return out
}

// write writes a batch, and tries again until it can or ctx ends.
func (l *AccessLog) write(ctx context.Context, batch []ChainRecord) {
	for {
		err := l.keep(batch)
		if err == nil {
			return
		}
		if l.failing.Load() == nil {
			l.log.Error("the audit of the admin listener cannot be written; it is tried again", "file", l.chain.path, "every", accessRetry, "error", err)
		}
		why := err.Error()
		l.failing.Store(&why)
		select {
		case <-time.After(accessRetry):
		case <-ctx.Done():
			if l.keep(batch) != nil {
				l.lose(len(batch))
			}
			return
		}
	}
}

// keep writes a batch, and before it how many were lost.
func (l *AccessLog) keep(batch []ChainRecord) error {
	lost := l.lost.Load()
	if lost > 0 {
		told := ChainRecord{Kind: ChainLost, Note: fmt.Sprintf("%d accesses were not kept", lost)}
		batch = append([]ChainRecord{told}, batch...)
	}
	if err := l.chain.keep(batch...); err != nil {
		return err
	}
	l.lost.Add(-lost)
	l.failing.Store(nil)
	return nil
}

// Accesses returns what was done, see [ReadAccesses].
func (l *AccessLog) Accesses(ctx context.Context, f AccessFilter) (Accesses, error) {
	return ReadAccesses(ctx, l.chain.path, f)
}

// AccessFilter says which accesses are asked for. What is empty is any.
type AccessFilter struct {
	Who, Service, Object string
	Deed                 AccessDeed
	From, To             time.Time
	Limit                int // the latest; 0: all
}

func (f AccessFilter) fits(r ChainRecord) bool {
	a := r.Access
	if a == nil || !f.From.IsZero() && r.At.Before(f.From) || !f.To.IsZero() && !r.At.Before(f.To) {
		return false
	}
	return (f.Who == "" || f.Who == a.Who) && (f.Service == "" || f.Service == a.Service) && (f.Object == "" || f.Object == a.Object) && (f.Deed == "" || f.Deed == a.Deed)
}

// Accesses is what an audit answers.
type Accesses struct {
	Records []AccessRecord `json:"records"`          // the latest first
	More    bool           `json:"more"`             // there are older ones that fit
	Broken  string         `json:"broken,omitempty"` // where a file cannot be read on: somebody changed it, or the disk did
}

// AccessRecord is an access and its place in the chain.
type AccessRecord struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
	Access
}

// ReadAccesses reads the audit at a path, beside the process that writes it if there is one. None is no error.
func ReadAccesses(ctx context.Context, path string, f AccessFilter) (Accesses, error) {
	files, err := ChainFiles(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Accesses{}, fmt.Errorf("cannot read the audit: %w", err)
	}
	out := Accesses{Records: []AccessRecord{}}
	for _, name := range slices.Backward(files) {
		found, err := accessesOf(ctx, name, f)
		var broken *ChainFault
		switch {
		case errors.As(err, &broken):
			out.Broken = fmt.Sprintf("%s, %v", filepath.Base(name), err)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return Accesses{}, fmt.Errorf("cannot read the audit: %w", err)
		}
		out.Records = append(out.Records, found...)
		if f.Limit > 0 && len(out.Records) > f.Limit {
			out.Records, out.More = out.Records[:f.Limit], true
			break
		}
	}
	return out, nil
}

// accessesOf reads one file, the latest first, one more than the limit.
func accessesOf(ctx context.Context, name string, f AccessFilter) ([]AccessRecord, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found []AccessRecord
	_, err = WalkChain(whileWanted{ctx, file}, Link{}, func(_ int, r ChainRecord, _ string) {
		if !f.fits(r) {
			return
		}
		found = append(found, AccessRecord{r.Seq, r.At, *r.Access})
		if f.Limit > 0 && len(found) > 2*f.Limit {
			found = append(found[:0], found[len(found)-f.Limit-1:]...)
		}
	})
	if f.Limit > 0 && len(found) > f.Limit+1 {
		found = found[len(found)-f.Limit-1:]
	}
	slices.Reverse(found)
	return found, err
}

// whileWanted reads until its context ends.
type whileWanted struct {
	ctx context.Context
	r   io.Reader
}

func (w whileWanted) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
