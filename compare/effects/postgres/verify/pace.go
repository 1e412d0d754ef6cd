package verify

import (
	"context"
	"time"
)

const (
	firstRead = 5_000   // rows
	leastRead = 100     // rows
	mostRead  = 100_000 // rows
)

// pace says how much to read with one statement, and pauses between them.
type pace struct {
	size   int64
	rate   float64
	target time.Duration
	now    func() time.Time
	began  time.Time
	rows   int64
}

func newPace(o *Options) *pace {
	p := &pace{size: firstRead, rate: o.Rate, target: o.Target, now: o.Now, began: o.Now()}
	p.keepRate()
	return p
}

// after adapts to how long it took to read rows, and pauses: as long as it took where
// that was longer than it should, and as long as the rate wants.
func (p *pace) after(ctx context.Context, rows int64, took time.Duration) error {
	p.rows += rows
	var pause time.Duration
	switch {
	case took > p.target:
		p.size, pause = max(p.size/2, leastRead), took
	case took < p.target/2:
		p.size = min(p.size+p.size/2, mostRead)
	}
	if p.rate > 0 {
		p.keepRate()
		due := time.Duration(float64(p.rows) / p.rate * float64(time.Second))
		pause = max(pause, due-p.now().Sub(p.began))
	}
	return sleep(ctx, pause)
}

// keepRate bounds what is read at once, so that there is a pause at least every half
// second.
func (p *pace) keepRate() {
	if p.rate > 0 {
		p.size = min(p.size, max(int64(p.rate/2), leastRead))
	}
}

// slower takes less after a statement that took too long; false if there is no less.
func (p *pace) slower() bool {
	if p.size <= leastRead {
		return false
	}
	p.size = max(p.size/4, leastRead)
	return true
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
