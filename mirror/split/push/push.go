package push

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Splitter is a splitter that stands outside.
type Splitter interface {
	// Push puts a step in force, in basis points, and has the splitter remember it
	// over a restart where that can be. After an error it may be in force or not.
	Push(ctx context.Context, step int) error
	// Read returns what is in force.
	Read(ctx context.Context) (Standing, error)
}

// Status is how a splitter is doing.
type Status struct {
	Name  string
	Step  int // that stands there, in basis points; -1: it was never read
	State State
	Since time.Time // of the state
	Error string    // what went wrong last, or why nothing is pushed
}

// Config is what a Pusher is made of.
type Config struct {
	Name      string
	Splitter  Splitter
	Confirmed func() Confirmed // what was read back last, perhaps by a process before; asked once, by Run
	Keep      func(Confirmed)  // takes what was read back; may be nil
	Now       func() time.Time
	Log       *slog.Logger
}

// How long things take, at most.
const (
	every  = 5 * time.Second        // between two looks at a splitter
	first  = 100 * time.Millisecond // before something that failed is tried again; twice as long each time, up to every
	within = 10 * time.Second       // for one look, or for one push: a driver has smaller bounds of its own
)

// Pusher keeps one splitter at the word. Set, Status and Settle may be called from
// any goroutine, and before Run.
type Pusher struct {
	cfg  Config
	wake chan struct{} // holds one

	mu        sync.Mutex
	word      Word
	doing     Word // that Run is at
	status    Status
	changed   chan struct{}      // closed when word or status is another
	interrupt context.CancelFunc // ends what Run is waiting for; nil: nothing

	// Of Run alone.
	last   Confirmed
	base   int   // what was read first; -1: nothing yet
	tried  int   // what was pushed last; -1: nothing yet
	failed error // of the latest push
	pause  time.Duration
}

// New returns a pusher that pushes nothing before Run, and before Set.
func New(c Config) *Pusher {
	return &Pusher{
		cfg: c, wake: make(chan struct{}, 1), changed: make(chan struct{}), base: -1, tried: -1,
		status: Status{Name: c.Name, Step: -1, State: Idle, Since: c.Now()},
	}
}

// Set says which step is wanted. It does not wait. A rollback ends what is being
// waited for at the splitter.
func (p *Pusher) Set(w Word) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w == p.word {
		return
	}
	p.word = w
	if !w.At.IsZero() {
		p.note(Pushing, "")
	}
	if w.rollback() && !p.doing.rollback() && p.interrupt != nil {
		p.interrupt()
	}
	select {
	case p.wake <- struct{}{}:
	default: // Run will see this word too
	}
}

// Status returns how the splitter is doing.
func (p *Pusher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Settle returns how the splitter is doing as soon as the word is confirmed there,
// or given up because somebody else owns it, or when ctx ends.
func (p *Pusher) Settle(ctx context.Context) Status {
	for {
		p.mu.Lock()
		status, changed := p.status, p.changed
		p.mu.Unlock()
		if status.State != Pushing && status.State != Away {
			return status
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status
		}
	}
}

// Run pushes until ctx ends. It returns nil.
func (p *Pusher) Run(ctx context.Context) error {
	p.last = p.cfg.Confirmed()
	for {
		again := time.NewTimer(p.round(ctx))
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-p.wake:
		case <-again.C:
		}
		again.Stop()
	}
}

// round looks at the splitter once, does what is to be done, and returns how long
// to wait for the next round.
func (p *Pusher) round(running context.Context) time.Duration {
	word, ctx, end := p.begin(running)
	defer end()
	if word.rollback() && !p.last.holds(word) {
		p.push(ctx, word) // before anything is looked at
	}
	s, err := p.read(ctx)
	if err == nil && p.wants(word, s) {
		p.push(ctx, word)
		s, err = p.read(ctx)
	}
	if err != nil && running.Err() != nil {
		return every // Run ends, which says nothing about the splitter
	}
	return p.conclude(word, s, err)
}

// begin takes the word and lets a rollback interrupt the round.
func (p *Pusher) begin(ctx context.Context) (Word, context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt, p.doing = cancel, p.word
	return p.word, ctx, cancel
}

// wants reports whether the word is to be pushed over what stands there: also where
// it is in force, but the push that put it there did not wholly succeed.
func (p *Pusher) wants(w Word, s Standing) bool {
	state := decide(w, p.last, p.tried, s)
	return state == Pushing || state == InForce && p.failed != nil
}

func (p *Pusher) push(ctx context.Context, w Word) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	p.tried = w.Step
	p.failed = p.cfg.Splitter.Push(ctx, w.Step)
}

func (p *Pusher) read(ctx context.Context) (Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s, err := p.cfg.Splitter.Read(ctx)
	if err == nil && p.base < 0 {
		p.base = s.Step
	}
	return s, err
}

// conclude notes what a round came to.
func (p *Pusher) conclude(w Word, s Standing, err error) time.Duration {
	state, text := Away, ""
	if err == nil {
		state = decide(w, p.last, p.tried, s)
		err = p.failed
	}
	if state == InForce {
		p.keep(w, s)
	}
	switch {
	case err != nil:
		text = err.Error()
	case state == Taken:
		text = fmt.Sprintf("step %d stands there, which is not from here: nothing is pushed until a person sets the step again; a rollback always is", s.Step)
	}
	p.publish(w, s, state, text)
	if err == nil && state != Pushing {
		p.pause = 0
		return every
	}
	p.pause = min(max(first, 2*p.pause), every)
	return p.pause
}

// keep remembers a word that was read back.
func (p *Pusher) keep(w Word, s Standing) {
	next := confirm(w, p.last, p.base, s)
	if next == p.last {
		return
	}
	p.last = next
	if p.cfg.Keep != nil {
		p.cfg.Keep(next)
	}
}

// publish shows what a round came to, unless another word was said since.
func (p *Pusher) publish(w Word, s Standing, state State, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt = nil
	if state != Away {
		p.status.Step = s.Step
	}
	if w == p.word {
		p.note(state, text)
	}
}

// note changes the status, and logs a change of the state, and the first of the reasons for
// which a push does not get there. The caller holds mu.
func (p *Pusher) note(state State, text string) {
	changed, refused := p.status.State != state, state == Pushing && text != "" && p.status.Error == ""
	if changed {
		p.status.State, p.status.Since = state, p.cfg.Now().UTC()
	}
	if changed || refused {
		level := slog.LevelInfo
		if refused || state == Away || state == Taken {
			level = slog.LevelWarn
		}
		p.cfg.Log.Log(context.Background(), level, "a splitter outside", "splitter", p.cfg.Name, "state", string(state), "step", p.word.Step, "error", text)
	}
	p.status.Error = text
	close(p.changed)
	p.changed = make(chan struct{})
}
