package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Lanes: how many statements run at once, and how many may wait for it.
const (
	writers    = 1
	readersMax = 3
	maxWaiting = 64
)

// incoming is where rows of an INSERT wait for the engine to read them, seen
// from the child's working directory.
const incoming = "incoming"

// backend runs requests on the engine. Each request gets a session of its own
// (a connection costs an eighth of a millisecond), so that no setting,
// parameter or current database of one request is seen by another.
type backend struct {
	lib    *library
	args   []string
	anchor *conn // keeps the engine up between requests
	lanes  [2]*queue
	pulse  *queue // of alive, which waits for no lane
	ids    atomic.Uint64

	dialing sync.Mutex // connections are opened and closed one at a time
}

// newBackend starts the engine.
func newBackend(lib *library, args []string) (*backend, error) {
	b := &backend{lib: lib, args: args, pulse: newQueue(1, maxWaiting)}
	b.lanes[reading] = newQueue(readersMax, maxWaiting)
	b.lanes[writing] = newQueue(writers, maxWaiting)
	var err error
	if b.anchor, err = lib.dial(args); err != nil {
		return nil, err
	}
	return b, nil
}

// close stops the engine. No request may be running.
func (b *backend) close() { b.anchor.close() }

// version returns the engine's version.
func (b *backend) version() (string, error) {
	got, err := b.anchor.query("SELECT version()", "TSVRaw", nil)
	if err != nil {
		return "", err
	}
	defer got.Close()
	return string(got.Bytes()[:len(got.Bytes())-1]), nil
}

// run runs one request. A failure of ClickHouse is an *Exception.
func (b *backend) run(ctx context.Context, req *request) (answer, error) {
	sql := req.text
	if req.hasData {
		path, err := spool(req.rows, maxRows)
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(path) }()
		sql = req.fromFile(path)
	}
	lane := b.lanes[req.lane]
	if err := lane.enter(ctx); err != nil {
		return nil, err
	}
	defer lane.leave()

	c, err := b.open()
	if err != nil {
		return nil, err
	}
	defer b.shut(c)
	id := "parallax-" + strconv.FormatUint(b.ids.Add(1), 10)
	if err := prepare(c, req, id); err != nil {
		return nil, err
	}
	if !req.hasData { // rows that have arrived are written, whoever has left
		defer b.killWhenGone(ctx, id)()
	}
	got, err := c.query(sql, req.format, req.params)
	if err != nil {
		return nil, err
	}
	if len(got.Bytes()) > maxAnswer { // the engine counts a constant column as one row
		got.Close()
		return nil, &Exception{Code: 396, Text: fmt.Sprintf("Code: 396. DB::Exception: The answer is more than %d bytes: ask for less. (TOO_MANY_ROWS_OR_BYTES)", maxAnswer)}
	}
	return got, nil
}

// alive returns as soon as the engine has opened a session and answered the
// smallest of statements in it: all that every request needs. It waits for no
// lane, so long statements are no reason for it to take long. A refusal by
// ClickHouse, for want of memory perhaps, is an answer too.
func (b *backend) alive(ctx context.Context) error {
	// While the engine hangs, this takes one thread and not one for every call.
	if err := b.pulse.enter(ctx); err != nil {
		return err
	}
	defer b.pulse.leave()
	c, err := b.open()
	if err != nil {
		return err
	}
	defer b.shut(c)
	got, err := c.query("SELECT 1", "Null", nil)
	if ex := (*Exception)(nil); errors.As(err, &ex) && ex.Code != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	got.Close()
	return nil
}

// prepare applies what the request says about its session.
func prepare(c *conn, req *request, id string) error {
	for _, sql := range []string{"USE " + quoteName(req.database), req.setUp(id)} {
		got, err := c.query(sql, "Null", nil)
		if err != nil {
			return err
		}
		got.Close()
	}
	return nil
}

// killWhenGone kills the statement with that id once ctx ends. The function it
// returns ends the watch, and waits for it.
func (b *backend) killWhenGone(ctx context.Context, id string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		// The statement may not have begun yet, so this is asked until it ended.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			b.kill(id)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}

// kill asks the engine to end a statement. It has a connection of its own, so
// it waits for no lane. There is nobody to tell if it fails; it is asked again.
func (b *backend) kill(id string) {
	c, err := b.open()
	if err != nil {
		return
	}
	defer b.shut(c)
	if got, err := c.query("KILL QUERY WHERE Settings['log_comment'] = "+quote(id)+" ASYNC", "Null", nil); err == nil {
		got.Close()
	}
}

func (b *backend) open() (*conn, error) {
	b.dialing.Lock()
	defer b.dialing.Unlock()
	return b.lib.dial(b.args)
}

func (b *backend) shut(c *conn) {
	b.dialing.Lock()
	defer b.dialing.Unlock()
	c.close()
}

// spool writes at most limit bytes of rows to a file and returns its path, which
// is seen from the working directory.
func spool(rows io.Reader, limit int64) (path string, err error) {
	f, err := os.CreateTemp(incoming, "rows-*")
	if err != nil {
		return "", fmt.Errorf("cannot keep the rows of an INSERT: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	n, err := io.Copy(f, io.LimitReader(rows, limit+1))
	if err != nil {
		return "", fmt.Errorf("cannot keep the rows of an INSERT: %w", err)
	}
	if n > limit {
		return "", &Exception{Code: 307, Text: fmt.Sprintf("Code: 307. DB::Exception: The rows of this INSERT are more than %d bytes: send smaller batches. (TOO_MANY_BYTES)", limit)}
	}
	return filepath.ToSlash(f.Name()), nil
}

// queue lets a few in at a time and a bounded number wait.
type queue struct {
	places  chan struct{}
	waiting chan struct{}
}

func newQueue(places, waiting int) *queue {
	return &queue{places: make(chan struct{}, places), waiting: make(chan struct{}, waiting)}
}

// enter waits for a place until ctx ends. It fails at once when too many wait.
func (q *queue) enter(ctx context.Context) error {
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return &Exception{Code: 202, Text: fmt.Sprintf("Code: 202. DB::Exception: %d statements wait already: try again later. (TOO_MANY_SIMULTANEOUS_QUERIES)", cap(q.waiting))}
	}
	select {
	case q.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) leave() { <-q.places }
