package mirror_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/split"
)

// notebook is a backend with a database of its own: what users wrote, in order. GET answers
// with what the user wrote.
type notebook struct {
	name string
	mu   sync.Mutex
	of   map[string][]string
	gate func(*mirrortest.Seen) int // a status in place of taking the request; 0 takes it; nil takes all
}

func (n *notebook) answer(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
	if n.gate != nil {
		switch status := n.gate(r); {
		case status < 0:
			return false
		case status > 0:
			return mirrortest.Status(status)(b, conn, r)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	user := r.Header.Get("X-User")
	if r.Method != "GET" {
		n.of[user] = append(n.of[user], string(r.Body))
	}
	return mirrortest.Raw(mirrortest.Message(200, n.name+":"+strings.Join(n.of[user], ",")))(b, conn, r)
}

func (n *notebook) written(user string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.of[user])
}

// notebooks are two versions with a database each, whose users share no data.
func notebooks(t *testing.T, change func(*mirror.Service)) (r *rig, primary, candidate *notebook) {
	t.Helper()
	primary, candidate = &notebook{name: "primary", of: map[string][]string{}}, &notebook{name: "candidate", of: map[string][]string{}}
	return startNotebooks(t, primary, candidate, change, keeping(t.TempDir())), primary, candidate
}

func startNotebooks(t *testing.T, primary, candidate *notebook, change func(*mirror.Service), deps ...func(*mirror.Deps)) *rig {
	t.Helper()
	cfg := pair(mirrortest.NewBackend(t, primary.answer).URL, mirrortest.NewBackend(t, candidate.answer).URL, mirror.Own)
	cfg.Primary.State, cfg.Primary.Outbound, cfg.Primary.Jobs = mirror.Own, mirror.OutboundNone, mirror.JobsOff
	cfg.PartitionedBy = mirror.PartitionedBySplitKey
	cfg.Split = split.Config{Key: "header:X-User", Salt: "notes"}
	cfg.Mirror.OrderBy = "header:X-User"
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg, deps...)
}

// note writes something for a user and returns which leg answered.
func note(r *rig, user, what string) (leg string) {
	_, text := r.do("POST", "/notes", what, "X-User: "+user)
	leg, _, _ = strings.Cut(text, ":")
	return leg
}

// noted reads what a user wrote, and from which leg.
func noted(r *rig, user string) (leg string, notes []string) {
	_, text := r.do("GET", "/notes", "", "X-User: "+user)
	leg, text, _ = strings.Cut(text, ":")
	if text != "" {
		notes = strings.Split(text, ",")
	}
	return leg, notes
}

// TestRolesAreReversed: what the candidate takes as the live leg the primary gets, in order;
// of whoever is not known the primary stays the live leg.
func TestRolesAreReversed(t *testing.T) {
	t.Parallel()
	r, primary, candidate := notebooks(t, nil)
	r.Mirror.Split().SetStep(10_000)
	var want []string
	for i := range 20 {
		if leg := note(r, "ann", fmt.Sprint(i)); leg != "candidate" {
			t.Fatalf("write %d is answered by the %s", i, leg)
		}
		want = append(want, fmt.Sprint(i))
	}
	if _, text := r.do("POST", "/notes", "x"); !strings.HasPrefix(text, "primary:") {
		t.Errorf("a write of nobody known is answered by %s", text)
	}
	if diff := cmp.Diff(map[parallax.Place]int{parallax.InQueue: 21}, r.settled(21)); diff != "" {
		t.Error(diff)
	}
	for _, n := range []*notebook{primary, candidate} {
		if diff := cmp.Diff(want, n.written("ann")); diff != "" {
			t.Errorf("at the %s (-want +got)\n%s", n.name, diff)
		}
	}
	if x := r.next(); x.Live != parallax.Candidate || x.Legs[parallax.Primary].Response.Status != 200 {
		t.Errorf("%+v, want a pair with the candidate as its live leg", x)
	}
}

// TestAUserMovesOnceTheCandidateHasAll: until then the primary stays the user's live leg.
func TestAUserMovesOnceTheCandidateHasAll(t *testing.T) {
	t.Parallel()
	r, _, candidate := notebooks(t, nil)
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	note(r, "ann", "1")
	missed(t, r, 1, 0)
	r.Mirror.Split().SetStep(10_000)
	if leg, notes := noted(r, "ann"); leg != "primary" || len(notes) != 1 {
		t.Errorf("the %s answers %v", leg, notes)
	}
	if leg, _ := noted(r, "bob"); leg != "candidate" {
		t.Errorf("another user is answered by the %s", leg)
	}
	r.Mirror.Resume()
	missed(t, r, 0, 0)
	if leg, notes := noted(r, "ann"); leg != "candidate" || len(notes) != 1 {
		t.Errorf("the %s answers %v of %v", leg, notes, candidate.written("ann"))
	}
}

// TestTheWayBackWaitsForThePrimary: a user is served from there once it has what she was told
// is done, or when the wait is over.
func TestTheWayBackWaitsForThePrimary(t *testing.T) {
	t.Parallel()
	r, primary, _ := notebooks(t, nil)
	release, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	primary.gate = func(q *mirrortest.Seen) int {
		if q.Method != "GET" {
			once.Do(func() { close(held) })
			<-release
		}
		return 0
	}
	r.Mirror.Split().SetStep(10_000)
	note(r, "ann", "1")
	<-held
	r.Mirror.Split().SetStep(0)
	began := time.Now()
	if leg, notes := noted(r, "ann"); leg != "primary" || len(notes) != 0 {
		t.Errorf("the %s answers %v", leg, notes)
	}
	if took := time.Since(began); took < mirror.DrainWithin {
		t.Errorf("it was served after %v without its write", took)
	}
	if leg, _ := noted(r, "bob"); leg != "primary" {
		t.Errorf("another user is answered by the %s", leg)
	}
	answered := make(chan []string)
	go func() {
		_, notes := noted(r, "ann")
		answered <- notes
	}()
	close(release)
	if notes := <-answered; len(notes) != 1 {
		t.Errorf("after the primary has got it: %v", notes)
	}
}

// TestWhatThePrimaryLacksIsListed: it turned down what the caller was told is done, or broke
// off; what it was never asked waits.
func TestWhatThePrimaryLacksIsListed(t *testing.T) {
	t.Parallel()
	r, primary, _ := notebooks(t, nil)
	primary.gate = func(q *mirrortest.Seen) int {
		return map[string]int{"refused": 409, "broken": -1}[string(q.Body)]
	}
	r.Mirror.Split().SetStep(10_000)
	for i, what := range []string{"taken", "refused", "broken"} {
		note(r, fmt.Sprint("user-", i), what)
	}
	r.settled(3)
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	note(r, "ann", "late")
	var list []mirror.Missing
	for deadline := time.Now().Add(20 * time.Second); len(list) < 3 && time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		var err error
		if list, err = r.Mirror.Missing(parallax.Primary, 10); err != nil {
			t.Fatal(err)
		}
	}
	var why []string
	for _, m := range list {
		if m.Endpoint != "POST /notes" || m.Received.IsZero() || m.Exchange == "" {
			t.Errorf("%+v", m)
		}
		why = append(why, m.Why)
	}
	slices.Sort(why[:min(2, len(why))])
	if diff := cmp.Diff([]string{"rejected", "reset", ""}, why); diff != "" {
		t.Error(diff)
	}
	back := r.Mirror.WayBack()
	if back.WritesMissing != 3 || back.Waiting != 1 || back.Oldest.IsZero() {
		t.Errorf("%+v", back)
	}
}

// TestUsersReadWhatTheyWrote has users write and read while the step goes up and down, and
// each leg is a little behind as the shadow: nobody reads less than was acknowledged
// before, and at the end, at step 0, both legs have all of it in one order.
func TestUsersReadWhatTheyWrote(t *testing.T) {
	t.Parallel()
	r, primary, candidate := notebooks(t, nil)
	for _, n := range []*notebook{primary, candidate} {
		n.gate = func(q *mirrortest.Seen) int { // a shadow is behind
			if q.Header.Get("X-Parallax-Role") == "shadow" {
				<-time.After(time.Duration(rand.IntN(4)) * time.Millisecond)
			}
			return 0
		}
	}
	ended := make(chan struct{})
	var moving sync.WaitGroup
	moving.Go(func() {
		dice := rand.New(rand.NewPCG(7, 11))
		for {
			select {
			case <-ended:
				return
			case <-time.After(time.Duration(dice.IntN(5)) * time.Millisecond):
			}
			r.Mirror.Split().SetStep([]int{0, 2500, 5000, 10_000}[dice.IntN(4)])
		}
	})
	var users sync.WaitGroup
	const many, writes = 24, 60
	for u := range many {
		users.Go(func() {
			user := fmt.Sprint("user-", u)
			for i := range writes {
				note(r, user, fmt.Sprint(i))
				if leg, notes := noted(r, user); len(notes) != i+1 {
					t.Errorf("%s reads %d of %d notes from the %s", user, len(notes), i+1, leg)
					return
				}
			}
		})
	}
	users.Wait()
	close(ended)
	moving.Wait()
	r.Mirror.Split().SetStep(0)
	r.settled(2 * many * writes)
	missed(t, r, 0, 0) // what lanes had no room for is caught up
	for deadline := time.Now().Add(20 * time.Second); r.Mirror.WayBack().WritesMissing > 0 && time.Now().Before(deadline); {
		<-time.After(5 * time.Millisecond)
	}
	for u := range many {
		user := fmt.Sprint("user-", u)
		if diff := cmp.Diff(primary.written(user), candidate.written(user)); diff != "" || len(primary.written(user)) != writes {
			t.Errorf("%s: %d at the primary (-primary +candidate)\n%s", user, len(primary.written(user)), diff)
		}
	}
	if back := r.Mirror.WayBack(); back.WritesMissing != 0 {
		t.Errorf("%+v", back)
	}
}

// TestPartitionedByIsChecked: everything that it rests on.
func TestPartitionedByIsChecked(t *testing.T) {
	t.Parallel()
	f := func(change func(*mirror.Service), want ...string) {
		t.Helper()
		cfg := pair("http://127.0.0.1:1", "http://127.0.0.1:2", mirror.Own)
		cfg.Primary.State, cfg.Primary.Outbound, cfg.Primary.Jobs = mirror.Own, mirror.OutboundNone, mirror.JobsOff
		cfg.PartitionedBy, cfg.Split.Key, cfg.Mirror.OrderBy = mirror.PartitionedBySplitKey, "header:X-User", "header:X-User"
		change(&cfg)
		var got []string
		for _, fault := range cfg.Validate() {
			got = append(got, fault.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("faults (-want +got)\n%s", diff)
		}
	}
	f(func(*mirror.Service) {})
	f(func(s *mirror.Service) { s.PartitionedBy = "tenant" }, "partitioned_by")
	f(func(s *mirror.Service) { s.Primary.State = "" }, "primary.state")
	f(func(s *mirror.Service) { s.Candidate.State = mirror.None; s.Primary.State = "" }, "primary.state", "candidate.state")
	f(func(s *mirror.Service) { s.Mirror.Unsafe = mirror.UnsafeNever }, "mirror.unsafe")
	f(func(s *mirror.Service) { s.Split.Key = "" }, "split.key")
	f(func(s *mirror.Service) { s.Mirror.OrderBy = "cookie:sid" }, "mirror.order_by")
	f(func(s *mirror.Service) { s.Mirror.OrderBy = "" }, "mirror.order_by")
}
