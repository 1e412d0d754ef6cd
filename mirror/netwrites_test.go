package mirror_test

import (
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// caughtNotebooks are notebooks with a net, whose candidate is live for everybody.
func caughtNotebooks(t *testing.T, change func(*mirror.Service)) (r *rig, primary, candidate *notebook, reg *prometheus.Registry) {
	t.Helper()
	reg = prometheus.NewRegistry()
	primary, candidate = &notebook{name: "primary", of: map[string][]string{}}, &notebook{name: "candidate", of: map[string][]string{}}
	r = startNotebooks(t, primary, candidate, func(s *mirror.Service) {
		s.Net = mirror.Net{Wait: time.Hour, Statuses: []int{500, 503}}
		s.Candidate.Timeout = 300 * time.Millisecond
		if change != nil {
			change(s)
		}
	}, keeping(t.TempDir()), func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(reg) })
	r.Mirror.Split().SetStep(10_000)
	return r, primary, candidate, reg
}

// fails has a leg fail what is written: what is "bad" with a status, or by closing the connection where it is negative.
func (n *notebook) fails(status int) {
	n.gate = func(q *mirrortest.Seen) int {
		if string(q.Body) == "bad" {
			return status
		}
		return 0
	}
}

// TestWritesAreCaught: the primary has done a write that the candidate failed, once; its user reads it there, and
// goes on there until the candidate is known to have it too.
func TestWritesAreCaught(t *testing.T) {
	t.Parallel()
	hang := func(n *notebook, over chan struct{}) {
		n.gate = func(q *mirrortest.Seen) int {
			if string(q.Body) == "bad" {
				<-over
			}
			return 0
		}
	}
	for name, c := range map[string]struct {
		candidate func(n *notebook, over chan struct{})
		err       parallax.ErrKind
		status    int
		caughtUp  bool // it says that it has not done it, so it gets it later
	}{
		"it breaks off": {func(n *notebook, _ chan struct{}) { n.fails(-1) }, parallax.Reset, 0, false},
		"it hangs":      {hang, parallax.Timeout, 0, false},
		"it fails":      {func(n *notebook, _ chan struct{}) { n.fails(500) }, parallax.NoError, 500, false},
		"it is busy":    {func(n *notebook, _ chan struct{}) { n.fails(503) }, parallax.NoError, 503, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, primary, candidate, reg := caughtNotebooks(t, nil)
			over := make(chan struct{})
			defer close(over)
			c.candidate(candidate, over)
			if leg := note(r, "ann", "good"); leg != "candidate" {
				t.Fatalf("the %s answers", leg)
			}
			if leg := note(r, "ann", "bad"); leg != "primary" {
				t.Fatalf("what the candidate failed is answered by the %s", leg)
			}
			if leg, notes := noted(r, "ann"); leg != "primary" || !slices.Equal(notes, []string{"good", "bad"}) {
				t.Errorf("right after it the %s answers %v", leg, notes)
			}
			if leg, _ := noted(r, "bob"); leg != "candidate" {
				t.Errorf("another user is answered by the %s", leg)
			}
			counts(t, reg, 1, 0)
			r.settled(4)
			if got := primary.written("ann"); !slices.Equal(got, []string{"good", "bad"}) {
				t.Errorf("the primary has %v", got)
			}
			for range 4 {
				x := r.next()
				if !x.Covered {
					continue
				}
				p, k := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
				if x.Live != parallax.Candidate || p.Response.Status != 200 || !strings.HasPrefix(string(p.Response.Body.Bytes), "primary:good,bad") || k.Err.Kind != c.err || k.Response.Status != c.status {
					t.Errorf("%+v\nprimary %+v\ncandidate %+v", x, p, k)
				}
			}
			if !c.caughtUp {
				note(r, "ann", "more")
				if leg, notes := noted(r, "ann"); leg != "primary" || len(notes) != 3 {
					t.Errorf("the user went to the %s, which answers %v", leg, notes)
				}
				for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) { // it is on its way to disk
					list, err := r.Mirror.Missing(parallax.Candidate, 10)
					if len(list) == 1 || err != nil || time.Now().After(deadline) {
						if err != nil || len(list) != 1 {
							t.Errorf("the candidate lacks %v, %v", list, err)
						}
						return
					}
				}
			}
			candidate.fails(0)
			missed(t, r, 0, 0)
			if leg, notes := noted(r, "ann"); leg != "candidate" || !slices.Equal(notes, []string{"good", "bad"}) {
				t.Errorf("once it has it the %s answers %v", leg, notes)
			}
		})
	}
}

// TestAWriteThatBothFail is asked of the primary once, and the caller gets what the candidate gave.
func TestAWriteThatBothFail(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, -1} {
		var asked atomic.Int64
		r, primary, candidate, reg := caughtNotebooks(t, nil)
		candidate.fails(503)
		primary.gate = func(q *mirrortest.Seen) int {
			asked.Add(1)
			return status
		}
		if answer, _ := r.do("POST", "/notes", "bad", "X-User: ann"); answer.StatusCode != 503 {
			t.Errorf("the caller gets %d", answer.StatusCode)
		}
		r.settled(1)
		if n := asked.Load(); n != 1 {
			t.Errorf("the primary was asked %d times", n)
		}
		counts(t, reg, 0, 1)
	}
}

// TestAWriteIsNotGivenOn while the primary lacks what the user was told is done, where the caller's names are the candidate's
// own, or where no such leg would get it.
func TestAWriteIsNotGivenOn(t *testing.T) {
	t.Parallel()
	f := func(name, why string, change func(*mirror.Service), before func(r *rig, primary *notebook) (after func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, primary, candidate, reg := caughtNotebooks(t, change)
			candidate.fails(500)
			if before != nil {
				defer before(r, primary)()
			}
			if answer, _ := r.do("POST", "/notes", "bad", "X-User: ann"); answer.StatusCode != 500 {
				t.Errorf("the caller gets %d", answer.StatusCode)
			}
			counts(t, reg, 0, 1)
			if got := sumOf(t, reg, "parallax_uncovered_total"); got != 1 || !has(t, reg, "parallax_uncovered_total", why) {
				t.Errorf("%v uncovered, and not for %s", got, why)
			}
		})
	}
	f("it is behind", "behind", nil, func(r *rig, primary *notebook) func() {
		held, over := make(chan struct{}), make(chan struct{})
		var once sync.Once
		primary.gate = func(q *mirrortest.Seen) int {
			once.Do(func() { close(held) })
			<-over
			return 0
		}
		note(r, "ann", "good")
		<-held
		return func() { close(over) }
	})
	f("names of its own", "identifiers", func(s *mirror.Service) {
		s.Identifiers = []ids.Config{{Name: "note", From: ids.At("POST /notes $.id"), In: ids.At("path:/notes/{id}")}}
	}, nil)
}

// TestACandidateThatWritesNothingIsCaught whatever the method: nothing can have been done twice.
func TestACandidateThatWritesNothingIsCaught(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, q *mirrortest.Seen) bool {
		asked.Add(1)
		return mirrortest.Raw(mirrortest.Message(200, "primary"))(b, conn, q)
	}).URL
	r, reg := startNet(t, primary, mirrortest.NewBackend(t, mirrortest.Status(500)).URL, func(s *mirror.Service) { s.Candidate.State = mirror.None })
	if answer, text := r.do("POST", "/search", "what"); answer.StatusCode != 200 || text != "primary" {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	counts(t, reg, 1, 0)
	if n := asked.Load(); n != 1 {
		t.Errorf("the primary was asked %d times", n)
	}
}

// has reports whether a counter has a reason.
func has(t *testing.T, reg *prometheus.Registry, name, reason string) bool {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "reason" && l.GetValue() == reason && m.GetCounter().GetValue() > 0 {
					return true
				}
			}
		}
	}
	return false
}
