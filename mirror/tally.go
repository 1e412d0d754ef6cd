package mirror

import (
	"context"
	"fmt"
	"sync"
)

// tally counts what is under way and can be waited for while more begins, which
// a sync.WaitGroup does not allow.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is back at zero; nil when nobody waits
}

func (t *tally) enter() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

func (t *tally) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// wait returns once nothing is under way, or with an error when the context
// ends before.
func (t *tally) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		return fmt.Errorf("%d left: %w", t.n, ctx.Err())
	}
}
