// Package splittest is what every splitter has to stand, whoever splits: thousands
// of users with sticky cookies on keep-alive connections, while the step goes up
// and back to nobody.
package splittest

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parallax"
	"parallax/mirror/split"
)

// Steps are those a release goes through, and back, in basis points.
func Steps() []int { return []int{0, 100, 500, 2500, 5000, 10000, 2500, 0} }

// How many users take part.
const (
	Few  = 1_000  // in a test
	Many = 10_000 // in a benchmark: the figures of docs/split.md
)

// Scenario is users who ask a splitter while somebody moves the step.
type Scenario struct {
	URL         string                                    // that callers use
	Beside      []string                                  // URLs of others that share the step; every user asks all by turns
	Users       int                                       // Few or Many; fewer make wider shares
	Connections int                                       // kept alive throughout; users share them
	Steps       []int                                     // in basis points; Steps when empty
	SetStep     func(ctx context.Context, step int) error // returns when the step is acknowledged
	Name        func(r *http.Request, user string)        // tells the splitter who asks; nil: cookies that it gave do
	Leg         func(answer string) parallax.Leg          // by the text of an answer; nil: it is the leg's name
	Want        []int                                     // users that should be on the candidate at each step; nil: any within three standard deviations
	Resets      int                                       // requests of a connection and step that may fail and be answered on one retry
}

// Result is what was seen.
type Result struct {
	Requests int           // answered
	Retried  int           // of them on a retry
	Shares   []int         // users on the candidate at each step
	Slowest  time.Duration // call of SetStep
}

// Run asks for every user twice at each step: once while the step is being moved,
// once afterwards. It fails the test where
//   - a request that was sent after a step was acknowledged, and answered before the
//     next was begun, comes from another leg than the user's others at that step,
//     or at step 0 from the candidate;
//   - a share is more than three standard deviations off, or not that of Want;
//   - a raise moves a user to the primary, or a lower step one to the candidate;
//   - a request fails, beyond Resets.
func (s Scenario) Run(t testing.TB) Result {
	t.Helper()
	if len(s.Steps) == 0 {
		s.Steps = Steps()
	}
	r := &run{Scenario: s, t: t, users: make([]user, s.Users)}
	r.acknowledged.Store(-1)
	for i := range r.users {
		r.users[i] = user{name: nameOf(i), cookies: map[string]string{}}
	}
	clients := make([]*http.Client, s.Connections)
	for i := range clients {
		transport := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
		clients[i] = &http.Client{Transport: transport, Timeout: time.Minute}
		defer transport.CloseIdleConnections()
	}
	for i := range s.Steps {
		r.step(i, clients)
	}
	r.Requests = int(r.answered.Load())
	r.Retried = int(r.retried.Load())
	if s.Want != nil && !slices.Equal(r.Shares, s.Want) {
		t.Errorf("users on the candidate: %v, want %v", r.Shares, s.Want)
	}
	return r.Result
}

// Bench runs the scenario and prints what was seen.
func (s Scenario) Bench(b *testing.B) {
	b.Helper()
	for b.Loop() {
		b.Logf("%+v", s.Run(b))
	}
}

// Shares counts the users on the candidate at each of Steps where they are split as
// Parallax does with a salt.
func Shares(salt string, users int) []int {
	shares := make([]int, len(Steps()))
	for u := range users {
		bucket := split.Bucket(salt, nameOf(u))
		for i, step := range Steps() {
			if bucket < step {
				shares[i]++
			}
		}
	}
	return shares
}

func nameOf(u int) string { return fmt.Sprintf("user-%d", u) }

// run is a scenario at work.
type run struct {
	Scenario
	Result
	t     testing.TB
	users []user

	begun, acknowledged atomic.Int64 // indexes of Steps
	answered, retried   atomic.Int64
}

// user belongs to one connection at a time.
type user struct {
	name    string
	cookies map[string]string
	asked   int          // requests
	at      int          // index of the step that leg is of, and one
	leg     parallax.Leg // that answered there
	before  parallax.Leg // and at the step before
}

// step moves the step while every user asks, then has every user ask again.
func (r *run) step(i int, clients []*http.Client) {
	r.t.Helper()
	for u := range r.users {
		r.users[u].before = r.users[u].leg
	}
	quarter := r.answered.Load() + int64(r.Users/4)
	under := make(chan struct{})
	var once sync.Once
	moving := make(chan struct{})
	go func() {
		defer close(moving)
		r.pass(clients, func() {
			if r.answered.Load() >= quarter {
				once.Do(func() { close(under) })
			}
		})
		once.Do(func() { close(under) })
	}()
	<-under
	r.begun.Store(int64(i))
	began := time.Now()
	if err := r.SetStep(r.t.Context(), r.Steps[i]); err != nil {
		r.t.Errorf("step %d: %v", r.Steps[i], err)
	}
	r.Slowest = max(r.Slowest, time.Since(began))
	r.acknowledged.Store(int64(i))
	<-moving
	r.pass(clients, func() {})
	r.judge(i)
}

// pass has every user ask once, each connection for its own.
func (r *run) pass(clients []*http.Client, after func()) {
	var wg sync.WaitGroup
	for c, client := range clients {
		wg.Go(func() {
			resets := 0
			for u := c; u < len(r.users); u += len(clients) {
				r.ask(client, &r.users[u], &resets)
				after()
			}
		})
	}
	wg.Wait()
}

// ask sends one request of a user and holds its answer against the others.
func (r *run) ask(client *http.Client, u *user, resets *int) {
	since := r.acknowledged.Load()
	leg, err := r.send(client, u)
	if err != nil && *resets < r.Resets {
		*resets++
		r.retried.Add(1)
		leg, err = r.send(client, u)
	}
	if err != nil {
		r.t.Errorf("%s: %v", u.name, err)
		return
	}
	r.answered.Add(1)
	if since < 0 || since != r.begun.Load() {
		return // the step was being moved
	}
	if r.Steps[since] == 0 && leg != parallax.Primary {
		r.t.Errorf("%s was answered by the %s after step 0 was acknowledged", u.name, leg)
	}
	if u.at == int(since)+1 && u.leg != leg {
		r.t.Errorf("%s was answered by the %s and by the %s at step %d", u.name, u.leg, leg, r.Steps[since])
	}
	u.at, u.leg = int(since)+1, leg
}

// send sends a request and reads who answered it.
func (r *run) send(client *http.Client, u *user) (parallax.Leg, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", r.next(u), nil)
	if err != nil {
		return 0, err
	}
	for name, value := range u.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if r.Name != nil {
		r.Name(req, u.name)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", res.StatusCode)
	}
	for _, c := range res.Cookies() {
		u.cookies[c.Name] = c.Value
	}
	return r.legOf(strings.TrimSpace(string(text)))
}

// next is where a user asks next.
func (r *run) next(u *user) string {
	u.asked++
	if n := u.asked % (1 + len(r.Beside)); n > 0 {
		return r.Beside[n-1]
	}
	return r.URL
}

func (r *run) legOf(text string) (parallax.Leg, error) {
	if r.Leg != nil {
		return r.Leg(text), nil
	}
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		if text == leg.String() {
			return leg, nil
		}
	}
	return 0, fmt.Errorf("no leg answers %.40q", text)
}

// judge looks at all users at a step that holds.
func (r *run) judge(i int) {
	r.t.Helper()
	on, moved := 0, 0
	for _, u := range r.users {
		if u.leg == parallax.Candidate {
			on++
		}
		if i == 0 || u.leg == u.before {
			continue
		}
		if raised := r.Steps[i] > r.Steps[i-1]; raised != (u.leg == parallax.Candidate) {
			moved++
		}
	}
	r.Shares = append(r.Shares, on)
	if moved > 0 {
		r.t.Errorf("step %d moved %d users against its direction", r.Steps[i], moved)
	}
	p := float64(r.Steps[i]) / split.Buckets
	want, sigma := p*float64(r.Users), math.Sqrt(float64(r.Users)*p*(1-p))
	if math.Abs(float64(on)-want) > 3*sigma {
		r.t.Errorf("step %d: %d of %d users on the candidate, which is not %.0f within 3 times %.1f", r.Steps[i], on, r.Users, want, sigma)
	}
}
