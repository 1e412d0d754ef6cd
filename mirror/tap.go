package mirror

import (
	"io"
	"sync"
	"time"

	"parallax"
)

// tap is the body of a caller's request on its way to the live leg. It copies
// aside what the live leg reads; the shadow legs get the copy once it is
// complete. It is read by the HTTP machinery, in whatever goroutine, while
// others wait for its end.
type tap struct {
	src      io.Reader
	trailers func() []parallax.Field // valid once src is at its end; may be nil
	length   int64                   // declared; -1 when unknown
	arrived  func() bool             // whether all of src is there already; may be nil
	messages *messages               // of gRPC; nil: it is something else

	mu    sync.Mutex
	copy  *capture // nil: nothing is kept, only the end is waited for
	read  int64    // bytes the live leg's machinery has read
	tail  []parallax.Field
	lost  parallax.Place // why there is no complete copy; "" while there may be one
	whole bool           // the caller sent the body to its end
	broke bool           // the caller broke the body off
	over  chan struct{}  // closed when whole or lost is decided
}

func newTap(in *incoming) *tap {
	t := &tap{src: in.Body, length: in.Length, arrived: in.Ready, over: make(chan struct{})}
	if in.Trailers != nil {
		t.trailers = func() []parallax.Field { return fieldsThat(mayTrail, in.Trailers()) }
	}
	return t
}

// ready reports whether the whole body has arrived, so that reading it never
// waits. It is asked before the first Read.
func (t *tap) ready() bool { return t.arrived != nil && t.arrived() }

// Read passes the caller's bytes on and copies them aside.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.src.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read += int64(n)
	if t.messages != nil {
		if t.messages.count(p[:n]); t.messages.n > 1 {
			t.lose(parallax.UnmirroredStream)
		}
	}
	t.keep(p[:n])
	switch {
	case err == io.EOF || t.read == t.length:
		t.complete()
	case err != nil:
		t.broke = true
		t.lose(parallax.UnmirroredUnfinished)
	}
	return n, err
}

// Close says that nobody will read on. A body that has not come to its end by
// then counts as never finished.
func (t *tap) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.whole {
		t.lose(parallax.UnmirroredUnfinished)
	}
	return nil
}

// giveUp forgets the copy; nobody will ask for it.
func (t *tap) giveUp(why parallax.Place) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == "" && t.copy != nil {
		t.copy.drop()
		t.copy = nil
	}
	t.lose(why)
}

// keep copies p aside. A request is mirrored whole or not at all, so the copy
// is dropped at the first byte that finds no room.
func (t *tap) keep(p []byte) {
	if t.copy == nil || t.lost != "" || len(p) == 0 {
		return
	}
	if t.copy.write(p); t.copy.cut != "" {
		t.lose(t.copy.cut)
	}
}

func (t *tap) complete() {
	if t.whole {
		return
	}
	t.whole = true
	if t.trailers != nil {
		t.tail = t.trailers()
	}
	if t.lost != "" {
		return
	}
	if t.copy != nil {
		t.copy.ended = true
	}
	close(t.over)
}

func (t *tap) lose(why parallax.Place) {
	if t.lost != "" || t.whole {
		return
	}
	t.lost = why
	if t.copy != nil {
		t.copy.drop()
		t.copy = nil
	}
	close(t.over)
}

// sent reports whether the caller has sent the body to its end, kept or not. It
// is true of a request without a body, which has no tap.
func (t *tap) sent() bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole
}

// readOn reads the rest of the body for the copy, as long as there may be one. Nobody
// else reads any more.
func (t *tap) readOn(buf []byte) {
	for t.why() == "" && !t.sent() {
		if _, err := t.Read(buf); err != nil {
			return
		}
	}
}

// isCopied reports whether the body came to its end and all of it is kept.
func (t *tap) isCopied() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole && t.copy != nil && t.copy.ended
}

// why returns the reason for which there is no complete copy, "" when there is
// one or there may still be.
func (t *tap) why() parallax.Place {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// brokeOff reports whether the caller broke the body off.
func (t *tap) brokeOff() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broke
}

// waitFor waits a while for the rest of the body and reports whether there is a
// complete copy.
func (t *tap) waitFor(d time.Duration) bool {
	if t == nil {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.over:
		return t.why() == ""
	case <-timer.C:
		return false
	}
}

// wait blocks until the copy is complete or lost and returns the reason for
// which it is lost.
func (t *tap) wait() parallax.Place {
	if t == nil {
		return ""
	}
	<-t.over
	return t.why()
}

// release gives the copy's bytes back to the budget.
func (t *tap) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.copy != nil {
		t.copy.release()
	}
}
