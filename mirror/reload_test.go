package mirror_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// reload puts another configuration in force.
func (r *rig) reload(cfg mirror.Service) {
	r.t.Helper()
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		r.t.Fatalf("Prepare: %v", faults)
	}
	change.Commit()
}

func TestReloadLeavesRequestsUnderWayAlone(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	old := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`"old"`)))
	shadow := mirrortest.NewBackend(t, mirrortest.JSON(`"shadow"`))
	next := mirrortest.NewBackend(t, mirrortest.JSON(`"new"`))
	r := start(t, pair(old.URL, shadow.URL, mirror.Own))
	got := make(chan string, 1)
	go func() {
		_, body := r.do("POST", "/orders", "{}")
		got <- body
	}()
	old.Wait(t, 1)
	r.reload(pair(next.URL, shadow.URL, mirror.Own))
	if _, body := r.do("GET", "/orders/1", ""); body != `"new"` {
		t.Errorf("after the reload %s answers", body)
	}
	close(release)
	if body := <-got; body != `"old"` {
		t.Errorf("the request under way was answered %s", body)
	}
	if places := r.settled(2); places[parallax.InQueue] != 2 {
		t.Errorf("places %v, want both exchanges in the queue", places)
	}
	for range 2 { // the one under way as it began, both legs
		if x := r.next(); x.Legs[parallax.Primary] == nil || x.Legs[parallax.Candidate] == nil {
			t.Errorf("exchange %+v lacks a leg", x)
		}
	}
	waitFor(t, "the old primary's connections to close", func() bool { _, open := old.Connections(); return open == 0 })
	if accepted, open := shadow.Connections(); accepted != open {
		t.Errorf("the shadow leg did not change, yet of %d connections %d are open", accepted, open)
	}
}

func TestReloadKeepsTheStep(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`"primary"`)), mirrortest.NewBackend(t, mirrortest.JSON(`"candidate"`))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	r := start(t, cfg)
	held := r.Mirror.Split()
	held.SetStep(10000)
	cfg.Split.Salt = "another"
	r.reload(cfg)
	if _, body := r.do("GET", "/orders/1", ""); body != `"candidate"` {
		t.Errorf("%s answers at step %d", body, r.Mirror.Split().Step())
	}
	held.SetStep(0) // by who got hold of it before
	if _, body := r.do("GET", "/orders/1", ""); body != `"primary"` {
		t.Errorf("%s answers at step %d", body, r.Mirror.Split().Step())
	}
}

func TestReloadRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`1`))
	cfg := pair(b.URL, b.URL, mirror.Own)
	r := start(t, cfg)
	bad := cfg
	bad.Name, bad.Mirror.Sample, bad.Mirror.MaxBody = "other", 2, 0
	if change, faults := r.Mirror.Prepare(bad); change != nil || len(faults) != 3 {
		t.Errorf("got %v and faults %v, want three", change, faults)
	}
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	change.Discard()
	if _, body := r.do("GET", "/orders/1", ""); body != "1" {
		t.Errorf("got %s", body)
	}
	change, _ = r.Mirror.Prepare(cfg)
	r.Stop()
	change.Commit() // too late: nothing is left open, which goleak looks at
}

func TestReloadRemembersLearnedEndpoints(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`1`))
	cfg := pair(b.URL, b.URL, mirror.Own)
	r := start(t, cfg)
	r.do("GET", "/carts/17", "")
	before := r.next().Endpoint
	r.reload(cfg)
	r.do("GET", "/carts/18", "")
	if after := r.next().Endpoint; after != before {
		t.Errorf("endpoint %q was %q", after, before)
	}
}

func TestReloadOfAMirrorThatStopped(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`1`))
	cfg := pair(b.URL, b.URL, mirror.Own)
	r := start(t, cfg)
	r.Stop()
	if change, faults := r.Mirror.Prepare(cfg); change != nil || len(faults) != 1 || !strings.Contains(faults[0].Text, "it has stopped") {
		t.Errorf("got %v, %v", change, faults)
	}
}

// TestReloadKeepsLegsThatStay changes what has nothing to do with the legs, between
// two requests over one connection to each.
func TestReloadKeepsLegsThatStay(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`1`)), mirrortest.NewBackend(t, mirrortest.JSON(`1`))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	r := start(t, cfg)
	r.do("GET", "/orders/1", "")
	r.settled(1)
	cfg.Mirror.MaxBody, cfg.Mirror.Timeout, cfg.Split.Salt = 1<<10, time.Minute, "another"
	r.reload(cfg)
	r.do("GET", "/orders/1", "")
	r.settled(2)
	for name, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
		if accepted, open := b.Connections(); accepted != 1 || open != 1 {
			t.Errorf("%s: %d connections, %d of them open", name, accepted, open)
		}
	}
}

// TestReloadRemembersWhatWasLearnedMeanwhile learns an endpoint while another
// configuration is being built.
func TestReloadRemembersWhatWasLearnedMeanwhile(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`1`))
	cfg := pair(b.URL, b.URL, mirror.Own)
	r := start(t, cfg)
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	r.do("GET", "/carts/17", "")
	want := r.Mirror.Learned()
	change.Commit()
	if got := r.Mirror.Learned(); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("learned %q, and before the reload %q", got, want)
	}
}

// TestMoveServesBothListenersUntilTheOldIsEmpty moves a mirror while a request
// is under way and another connection is idle.
func TestMoveServesBothListenersUntilTheOldIsEmpty(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`1`)))
	r := start(t, pair(b.URL, b.URL, mirror.Own))
	in, conn := r.raw("GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n")
	b.Wait(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Mirror.Move(l); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the old listener to close", func() bool {
		c, err := net.Dial("tcp", r.Addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 200 || !res.Close {
		t.Fatalf("the request under way got %v, %v", res, err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "1" {
		t.Errorf("and the body %q", body)
	}
	conn.Close()
	r.URL = "http://" + l.Addr().String()
	if _, body := r.do("GET", "/orders/2", ""); body != "1" {
		t.Errorf("the new listener answers %q", body)
	}
	r.Stop()
	late, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Mirror.Move(late); err == nil {
		t.Error("a mirror that stopped was moved")
	}
	if _, err := late.Accept(); err == nil {
		t.Error("its listener is open")
	}
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-patience.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestReloadWithoutAdaptive: shares that nobody keeps any more are not told of.
func TestReloadWithoutAdaptive(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(b.URL, b.URL, mirror.Own)
	cfg.Mirror.MaxRPS, cfg.Mirror.Adaptive = 100, true
	r := start(t, cfg)
	shares := func(want int) {
		t.Helper()
		c := mirror.NewLegCollector(func() []*mirror.Mirror { return []*mirror.Mirror{r.Mirror} })
		if n := testutil.CollectAndCount(c, "parallax_mirrored_share"); n != want {
			t.Errorf("%d shares are told of, want %d", n, want)
		}
	}
	r.do("GET", "/orders/17", "")
	shares(len(cfg.Endpoints))
	cfg.Endpoints = cfg.Endpoints[:1]
	r.reload(cfg)
	shares(len(cfg.Endpoints))
	cfg.Mirror.Adaptive = false
	r.reload(cfg)
	shares(0)
}

// stuck is a resolver that gives one address at once and hangs from then on, whoever
// has lost interest.
type stuck struct {
	addr    netip.Addr
	asked   atomic.Int32
	release chan struct{}
}

func (s *stuck) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if s.asked.Add(1) > 1 {
		<-s.release
	}
	return []netip.Addr{s.addr}, nil
}

func (s *stuck) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, net.ErrClosed
}

// TestCallersDoNotWaitForLegsToClose: the last request by a configuration that was
// replaced lets go of its legs, and what looks for their instances may not end soon.
func TestCallersDoNotWaitForLegsToClose(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "TRACE"} { // one that is mirrored, and one that is not
		release := make(chan struct{})
		old := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`1`)))
		next := mirrortest.NewBackend(t, mirrortest.JSON(`2`))
		names := &stuck{addr: netip.MustParseAddr("127.0.0.1"), release: make(chan struct{})}
		named := strings.Replace(old.URL, "127.0.0.1", "old.internal", 1)
		cfg := pair(named, next.URL, mirror.Own)
		cfg.Primary.Resolve = time.Second
		r := start(t, cfg, func(d *mirror.Deps) { d.Resolver = names })
		t.Cleanup(sync.OnceFunc(func() { close(names.release) }))
		in, conn := r.raw(method + " / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		old.Wait(t, 1)
		next.Wait(t, map[string]int{"GET": 1}[method]) // so that the live leg is the last to be done
		r.reload(pair(next.URL, next.URL, mirror.Own))
		waitFor(t, "the name to be looked up again", func() bool { return names.asked.Load() > 1 })
		close(release)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		for _, want := range []string{"1", "2"} {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("after %s: %v", method, err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
				t.Errorf("after %s: got %q, %v, want %s", method, body, err, want)
			}
		}
	}
}
