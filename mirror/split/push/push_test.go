package push

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var morning = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	t.Parallel()
	person := Word{Step: 500, At: morning, Person: true}
	policy := Word{Step: 500, At: morning}
	rollback := Word{At: morning}
	was := Confirmed{Step: 500, At: morning, Process: "a", Base: 0}
	before := Confirmed{Step: 100, At: morning.Add(-time.Hour), Process: "a", Base: 0}
	f := func(want State, w Word, last Confirmed, tried int, s Standing) {
		t.Helper()
		if got := decide(w, last, tried, s); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(Idle, Word{}, Confirmed{}, -1, Standing{Step: 2500})
	f(InForce, person, Confirmed{}, -1, Standing{Step: 500})
	f(InForce, person, was, -1, Standing{Step: 500, Process: "b"})

	// A new word.
	f(Pushing, person, before, -1, Standing{Step: 7000})
	f(Pushing, rollback, before, -1, Standing{Step: 7000})
	f(Pushing, policy, Confirmed{}, -1, Standing{Step: 7000}) // what was found at the start
	f(Pushing, policy, before, -1, Standing{Step: 100})
	f(Pushing, policy, before, 300, Standing{Step: 300}) // pushed, and not read back
	f(Taken, policy, before, 300, Standing{Step: 7000})

	// The word was in force already.
	f(Taken, person, was, 500, Standing{Step: 7000, Process: "a"})
	f(Taken, person, was, 500, Standing{Step: 0, Process: "a"}) // somebody's rollback
	f(Taken, person, was, 500, Standing{Step: 0})
	f(Pushing, person, was, 500, Standing{Step: 0, Process: "b"}) // forgotten
	f(Taken, person, was, 500, Standing{Step: 100, Process: "b"})
	f(Taken, rollback, Confirmed{At: morning, Process: "a"}, 0, Standing{Step: 7000, Process: "a"})
}

// memory is a splitter in memory.
type memory struct {
	mu      sync.Mutex
	step    int
	process string
	down    error
	refuses error         // of pushes alone
	slow    time.Duration // a read takes so long, or until its context ends
	pushes  []int
}

func (m *memory) Push(ctx context.Context, step int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmp.Or(m.down, m.refuses); err != nil {
		return err
	}
	m.step, m.pushes = step, append(m.pushes, step)
	return ctx.Err()
}

func (m *memory) Read(ctx context.Context) (Standing, error) {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return Standing{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return Standing{m.step, m.process}, m.down
}

func (m *memory) change(how func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	how(m)
}

// play runs a pusher on a splitter in a bubble of its own.
func play(t *testing.T, m *memory, last Confirmed, then func(t *testing.T, p *Pusher, kept *Confirmed)) {
	t.Helper()
	playWith(t, m, last, slog.New(slog.DiscardHandler), then)
}

// playWith is play with a log.
func playWith(t *testing.T, m *memory, last Confirmed, log *slog.Logger, then func(t *testing.T, p *Pusher, kept *Confirmed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kept := last
		p := New(Config{
			Name: "edge", Splitter: m, Now: time.Now, Log: log,
			Confirmed: func() Confirmed { return last }, Keep: func(c Confirmed) { kept = c },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		then(t, p, &kept)
		cancel()
		<-ended
	})
}

// pushed wants a status, and what was pushed so far.
func pushed(t *testing.T, p *Pusher, m *memory, state State, step int, pushes ...int) {
	t.Helper()
	synctest.Wait()
	if got := p.Status(); got.State != state || got.Step != step {
		t.Errorf("%+v, want %s at %d", got, state, step)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.pushes, pushes) {
		t.Errorf("pushed %v, want %v", m.pushes, pushes)
	}
}

func TestPusherWritesAndReadsBack(t *testing.T) {
	t.Parallel()
	m := &memory{step: 300, process: "a"}
	play(t, m, Confirmed{}, func(t *testing.T, p *Pusher, kept *Confirmed) {
		pushed(t, p, m, Idle, 300)
		at := time.Now()
		p.Set(Word{Step: 500, At: at, Person: true})
		if got := p.Settle(t.Context()); got.State != InForce {
			t.Errorf("%+v", got)
		}
		pushed(t, p, m, InForce, 500, 500)
		if want := (Confirmed{500, at, "a", 300}); *kept != want {
			t.Errorf("kept %+v, want %+v", *kept, want)
		}
		m.change(func(m *memory) { m.step, m.process = 300, "b" }) // restarted
		time.Sleep(every)
		pushed(t, p, m, InForce, 500, 500, 500)
		m.change(func(m *memory) { m.step = 300 }) // somebody
		time.Sleep(every)
		pushed(t, p, m, Taken, 300, 500, 500)
		p.Set(Word{Step: 700, At: time.Now()}) // the policy
		pushed(t, p, m, Taken, 300, 500, 500)
		p.Set(Word{At: time.Now()})
		pushed(t, p, m, InForce, 0, 500, 500, 0)
		m.change(func(m *memory) { m.step = 300 }) // somebody, after the rollback was confirmed
		time.Sleep(every)
		pushed(t, p, m, Taken, 300, 500, 500, 0)
		p.Set(Word{Step: 800, At: time.Now(), Person: true})
		pushed(t, p, m, InForce, 800, 500, 500, 0, 800)
	})
}

func TestPusherTriesAgain(t *testing.T) {
	t.Parallel()
	m := &memory{down: errors.New("no route")}
	play(t, m, Confirmed{}, func(t *testing.T, p *Pusher, _ *Confirmed) {
		p.Set(Word{Step: 500, At: time.Now()})
		pushed(t, p, m, Away, -1)
		if got := p.Status(); got.Error != "no route" {
			t.Errorf("%+v", got)
		}
		within, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := p.Settle(within); got.State != Away || within.Err() == nil {
			t.Errorf("%+v before the time was over", got)
		}
		m.change(func(m *memory) { m.down = nil })
		if got := p.Settle(t.Context()); got.State != InForce || got.Error != "" {
			t.Errorf("%+v", got)
		}
		pushed(t, p, m, InForce, 500, 500)
	})
}

// TestARefusedStepIsSaidOnce, for each word, however often it is tried.
func TestARefusedStepIsSaidOnce(t *testing.T) {
	t.Parallel()
	m := &memory{refuses: errors.New("a broken configuration")}
	var said bytes.Buffer
	playWith(t, m, Confirmed{}, slog.New(slog.NewTextHandler(&said, nil)), func(t *testing.T, p *Pusher, _ *Confirmed) {
		for words := range 2 {
			p.Set(Word{Step: 500 + words, At: time.Now()})
			time.Sleep(time.Minute)
			pushed(t, p, m, Pushing, 0)
			if n := strings.Count(said.String(), "a broken configuration"); n != words+1 {
				t.Errorf("%d words, said %d times:\n%s", words+1, n, &said)
			}
		}
	})
}

// TestRollbackWaitsForNobody: a read that hangs is ended by a rollback, and nothing
// is read before it is pushed.
func TestRollbackWaitsForNobody(t *testing.T) {
	t.Parallel()
	m := &memory{step: 500, slow: time.Hour}
	play(t, m, Confirmed{Step: 500, At: morning}, func(t *testing.T, p *Pusher, _ *Confirmed) {
		p.Set(Word{Step: 500, At: morning})
		synctest.Wait()
		began := time.Now()
		p.Set(Word{At: time.Now()})
		synctest.Wait()
		if d := time.Since(began); d != 0 {
			t.Errorf("the rollback was pushed after %v", d)
		}
		pushed(t, p, m, Pushing, -1, 0)
		m.change(func(m *memory) { m.slow = 0 })
		if got := p.Settle(t.Context()); got.State != InForce {
			t.Errorf("%+v", got)
		}
	})
}

// TestTheEndIsNoFault: a pusher that is stopped in the middle of a read does not say
// that the splitter is away.
func TestTheEndIsNoFault(t *testing.T) {
	t.Parallel()
	m := &memory{slow: time.Hour}
	var ended *Pusher
	play(t, m, Confirmed{}, func(t *testing.T, p *Pusher, _ *Confirmed) {
		p.Set(Word{Step: 500, At: time.Now()})
		synctest.Wait()
		ended = p
	})
	if got := ended.Status(); got.State != Pushing || got.Error != "" {
		t.Errorf("%+v, want what was known before the end", got)
	}
}

// TestPusherAfterARestartOfItsOwn leaves what was changed meanwhile, and pushes what
// had not got there.
func TestPusherAfterARestartOfItsOwn(t *testing.T) {
	t.Parallel()
	m := &memory{step: 900, process: "a"}
	word := Word{Step: 500, At: morning, Person: true}
	play(t, m, Confirmed{500, morning, "a", 0}, func(t *testing.T, p *Pusher, _ *Confirmed) {
		p.Set(word)
		pushed(t, p, m, Taken, 900)
	})
	play(t, m, Confirmed{100, morning.Add(-time.Hour), "a", 0}, func(t *testing.T, p *Pusher, _ *Confirmed) {
		p.Set(word)
		pushed(t, p, m, InForce, 500, 500)
	})
}
