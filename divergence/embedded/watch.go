package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// patience is how many times the child is asked whether the engine lives in the
// time after which it counts as hung.
const patience = 6

// watch kills the child when its engine has become ready and then gives no
// answer for the configured time. It returns why it did, or nil when ctx ends
// first.
//
// The time is counted in ticks: if this whole process stands still for a while
// (a debugger, a machine that sleeps), that is one tick and no fault of the child.
func (e *Engine) watch(ctx context.Context, child *os.Process) error {
	if e.Ready(ctx) != nil {
		return nil
	}
	every := e.cfg.HungAfter / patience
	answers, stop := e.listen(ctx, every)
	defer stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for silent := 0; silent <= patience; {
		select {
		case <-answers:
			silent = 0
		case <-tick.C:
			silent++
		case <-ctx.Done():
			return nil
		}
	}
	why := fmt.Sprintf("it gave no answer for %v", e.cfg.HungAfter)
	e.setState(func(s *State) { s.Phase, s.LastError = Hung, why })
	_ = child.Kill() // fails only if it has just ended by itself
	return errors.New(why + " and was killed")
}

// listen asks the child again and again whether the engine lives, at the given
// interval, and sends for every answer. A question has no deadline of its own: a
// slow answer is one too. The function it returns ends that and waits for it.
func (e *Engine) listen(ctx context.Context, every time.Duration) (answers <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	heard, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, "") }}
		defer transport.CloseIdleConnections()
		for ; ctx.Err() == nil; pause(ctx, every) {
			if !answered(ctx, transport) {
				continue
			}
			select {
			case heard <- struct{}{}:
			default: // nobody has taken the one before yet
			}
		}
	}()
	return heard, func() { cancel(); <-ended }
}

// answered asks once.
func answered(ctx context.Context, transport *http.Transport) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+alivePath, nil)
	if err != nil {
		return false
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}
