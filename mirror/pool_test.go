package mirror_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/upstream"
)

// backendEnv makes TestBackendProcess a backend: it is where it listens.
const backendEnv = "PARALLAX_TEST_BACKEND"

// TestBackendProcess is no test: it is what backend processes run.
func TestBackendProcess(t *testing.T) {
	at := os.Getenv(backendEnv)
	if at == "" {
		t.Skip("runs in processes of other tests")
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Printf("listens on %s\n", l.Addr())
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
}

// process is a backend that can be killed.
type process struct {
	addr  string
	cmd   *exec.Cmd
	dead  atomic.Bool
	death interval // valid after kill
}

// interval is a stretch of time.
type interval struct{ from, to time.Time }

func (i interval) overlaps(j interval) bool { return !i.to.Before(j.from) && !j.to.Before(i.from) }

// startProcess starts a backend at an address, which may end in port 0.
func startProcess(t *testing.T, at string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBackendProcess$")
	cmd.Env = append(os.Environ(), backendEnv+"="+at)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listens on ")
	if err != nil || !ok {
		t.Fatalf("the backend said %q, %v", line, err)
	}
	p.addr = addr
	return p
}

// kill ends the process as SIGKILL does. It is over when the system has closed
// its last connection, which it does one by one.
func (p *process) kill() {
	if !p.dead.Swap(true) {
		p.death.from = time.Now()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.death.to = time.Now()
	}
}

// load is callers who send one request after the other.
type load struct {
	stop   chan struct{}
	done   sync.WaitGroup
	count  atomic.Int64
	mu     sync.Mutex
	failed []failure
}

// failure is a request that was not answered as it should.
type failure struct {
	interval
	method, said string
}

// startLoad lets so many callers send GETs, as many POSTs without a body, and as
// many with one.
func startLoad(r *rig, callers int) *load {
	l := &load{stop: make(chan struct{})}
	for n := range 3 * callers {
		method, size := []string{"GET", "POST", "POST"}[n%3], []int{0, 0, 4096}[n%3]
		l.done.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				l.ask(r, method, size)
			}
		})
	}
	return l
}

func (l *load) ask(r *rig, method string, size int) {
	began := time.Now()
	req, _ := http.NewRequest(method, r.URL+"/orders/1", strings.NewReader(strings.Repeat("x", size)))
	res, err := r.Client.Do(req)
	said := fmt.Sprint(err)
	if err == nil {
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		said = fmt.Sprint(res.StatusCode, " ", string(body), err)
		if res.StatusCode == 200 && err == nil {
			l.count.Add(1)
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, failure{interval{began, time.Now()}, method, said})
}

// more waits for so many more answers.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for want := l.count.Load() + n; l.count.Load() < want; {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("only %d of %d more requests were answered", n-want+l.count.Load(), n)
		}
	}
}

// end stops the callers. No safe request may have failed, and of the unsafe ones
// only such as were under way while a backend died.
func (l *load) end(t *testing.T, killed ...*process) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	t.Logf("%d answers, %d failed", l.count.Load(), len(l.failed))
	for _, f := range l.failed {
		if f.method == "GET" {
			t.Errorf("a safe request failed: %.300s", f.said)
		} else if !slices.ContainsFunc(killed, func(p *process) bool { return f.overlaps(p.death) }) {
			t.Errorf("an unsafe request failed that was not under way while a backend died; it began %s after the last death, and took %s: %.300s",
				f.from.Sub(killed[len(killed)-1].death.to), f.to.Sub(f.from), f.said)
		}
	}
}

// single is a service with a primary alone.
func single(urls ...string) mirror.Service {
	return mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: mirror.LegConfig{URLs: mirror.LegURLs(urls...)}}
}

func TestTwoOfThreeBackendsAreKilled(t *testing.T) {
	t.Parallel()
	var backends []*process
	var urls []string
	for range 3 {
		b := startProcess(t, "127.0.0.1:0")
		backends, urls = append(backends, b), append(urls, "http://"+b.addr)
	}
	r := start(t, single(urls...))
	l := startLoad(r, 4)
	l.more(t, 500)
	backends[0].kill()
	l.more(t, 200)
	backends[2].kill()
	l.more(t, 1000)
	l.end(t, backends[0], backends[2])
	up := map[string]bool{}
	for _, i := range r.Mirror.Legs()[0].Instances {
		up[strings.TrimPrefix(i.Name, "http://")] = i.Up
	}
	if diff := cmp.Diff(map[string]bool{backends[0].addr: false, backends[1].addr: true, backends[2].addr: false}, up); diff != "" {
		t.Errorf("instances that are up (-want +got):\n%s", diff)
	}
}

func TestBothBackendsAreKilledAtOnce(t *testing.T) {
	t.Parallel()
	var backends []*process
	var urls []string
	for range 3 {
		b := startProcess(t, "127.0.0.1:0")
		backends, urls = append(backends, b), append(urls, "http://"+b.addr)
	}
	r := start(t, single(urls...))
	l := startLoad(r, 4)
	l.more(t, 500)
	var both sync.WaitGroup
	both.Go(backends[0].kill)
	both.Go(backends[1].kill)
	both.Wait()
	l.more(t, 1000)
	l.end(t, backends[0], backends[1])
}

func TestNameChangesItsAddressUnderLoad(t *testing.T) {
	t.Parallel()
	before := startProcess(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(before.addr)
	after := startProcess(t, "127.0.0.2:"+port)
	dns := mirrortest.NewNameServer(t)
	dns.Set("shop.test. A", "127.0.0.1")
	cfg := single("http://shop.test:" + port)
	cfg.Primary.Resolve = 100 * time.Millisecond
	r := start(t, cfg, func(d *mirror.Deps) { d.Resolver = dns.Resolver() })
	l := startLoad(r, 4)
	l.more(t, 300)
	instance := func() string { return r.Mirror.Legs()[0].Instances[0].Name }
	if got, want := instance(), "http://shop.test:"+port+" "+before.addr; got != want {
		t.Fatalf("the instance is %q, want %q", got, want)
	}
	dns.Set("shop.test. A", "127.0.0.2")
	for instance() != "http://shop.test:"+port+" "+after.addr {
		l.more(t, 10)
	}
	before.kill()
	l.more(t, 500)
	dns.Fail(true)
	dns.WaitForQuestions(2)
	l.more(t, 100)
	l.end(t, before)
}

// TestWhoIsAskedAgain asks a pool of which one instance works and the others are
// of no use, and counts how often each was asked.
func TestWhoIsAskedAgain(t *testing.T) {
	t.Parallel()
	f := func(name, method, body string, bad mirrortest.Answer, want200 bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
			urls := []string{mirrortest.Refused(t), good.URL}
			var broken *mirrortest.Backend
			if bad != nil {
				broken = mirrortest.NewBackend(t, bad)
				urls[0] = broken.URL
			}
			cfg := single(urls...)
			cfg.Primary.Eject = upstream.DefaultEject()
			cfg.Primary.Eject.Failures = 0
			registry := prometheus.NewRegistry()
			r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
			res, _ := r.do(method, "/orders", body) // the first turn is that of the bad one
			if got := res.StatusCode == 200; got != want200 {
				t.Errorf("the caller got %d", res.StatusCode)
			}
			if want := map[bool]int{true: 1, false: 0}[want200]; good.Count() != want {
				t.Errorf("the good instance was asked %d times, want %d", good.Count(), want)
			}
			if broken != nil && broken.Count() != 1 {
				t.Errorf("the bad instance was asked %d times, want once", broken.Count())
			}
			r.Stop()
			if n, want := testutil.CollectAndCount(registry, "parallax_requests_total"), map[bool]int{true: 2, false: 1}[want200]; n != want {
				t.Errorf("%d kinds of tries are counted, want %d", n, want)
			}
		})
	}
	f("refused, safe", "GET", "", nil, true)
	f("refused, unsafe", "POST", "", nil, true)
	f("refused, unsafe with a body", "POST", "body", nil, true)
	f("reset, safe", "GET", "", mirrortest.Reset, true)
	f("reset, safe with a body", "GET", "body", mirrortest.Reset, false)
	f("reset, unsafe", "POST", "", mirrortest.Reset, false)
	f("reset, unsafe with a body", "POST", "body", mirrortest.Reset, false)
	f("half an answer", "GET", "", mirrortest.Garbage, false)
}

// TestWhatLooksLikeAnActIsNotSentTwice: as it is not mirrored, though its method
// is safe, until somebody declares it.
func TestWhatLooksLikeAnActIsNotSentTwice(t *testing.T) {
	t.Parallel()
	f := func(declared *bool, want int) {
		t.Helper()
		good, broken := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.Reset)
		cfg := single(broken.URL, good.URL)
		if declared != nil {
			declare(&cfg, "GET /orders/{id}/cancel", mirror.EndpointOptions{Safe: declared})
		}
		r := start(t, cfg)
		r.do("GET", "/orders/17/cancel", "") // the first turn is that of the broken one
		if good.Count() != want || broken.Count() != 1 {
			t.Errorf("%d and %d requests came, want 1 and %d", broken.Count(), good.Count(), want)
		}
	}
	f(nil, 0)
	f(new(true), 1)
	f(new(false), 0)
}

func TestShadowIsNeverAskedAgain(t *testing.T) {
	t.Parallel()
	good := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(good.URL, mirrortest.Refused(t), mirror.Own)
	other := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg.Candidate.URLs = append(cfg.Candidate.URLs, mirror.LegURL{URL: other.URL})
	r := start(t, cfg)
	r.do("GET", "/orders", "")
	if x := r.next(); x.Legs[parallax.Candidate].Err.Kind != parallax.Refused || other.Count() != 0 {
		t.Errorf("the candidate's call ended %q, and its other instance was asked %d times", x.Legs[parallax.Candidate].Err.Kind, other.Count())
	}
}

func TestBreakerOfARefusedCandidate(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.Reset)
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Candidate.Breaker = mirror.Breaker{Failures: 5, Of: 10, OpenFor: 50 * time.Millisecond, HalfOpen: 2}
	r := start(t, cfg)
	collector := mirror.NewLegCollector(func() []*mirror.Mirror { return []*mirror.Mirror{r.Mirror} })
	open := func(want int) {
		t.Helper()
		text := fmt.Sprintf("# HELP parallax_breaker_open Whether a leg is not asked as a shadow, or only tried, because it gave no answers.\n# TYPE parallax_breaker_open gauge\n"+
			"parallax_breaker_open{leg=\"candidate\",service=\"shop\"} %d\nparallax_breaker_open{leg=\"primary\",service=\"shop\"} 0\n", want)
		if err := testutil.CollectAndCompare(collector, strings.NewReader(text), "parallax_breaker_open"); err != nil {
			t.Error(err)
		}
	}
	open(0)
	const requests = 25
	for range requests {
		r.do("GET", "/orders/1", "")
		r.atShadows(0)
	}
	places := r.settled(requests)
	if lost := places[parallax.LostBreakerOpen]; lost == 0 || places[parallax.InQueue]+lost != requests || places[parallax.InQueue] < 5 {
		t.Errorf("places %v: want the first failures compared and the others lost/breaker_open", places)
	}
	open(1)
	candidate.Become(mirrortest.JSON(`{}`))
	for n := requests; r.Mirror.Legs()[1].BreakerOpen; n++ { // it is tried, and closes
		r.do("GET", "/orders/1", "")
		r.settled(n + 1)
	}
	open(0)
	lost := r.Ledger.Places()[parallax.LostBreakerOpen]
	r.do("GET", "/orders/1", "")
	r.atShadows(0)
	if got := r.Ledger.Places()[parallax.LostBreakerOpen]; got != lost {
		t.Errorf("%d more were lost after it closed", got-lost)
	}
}

func TestShadowRate(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Candidate.MaxRPS = 0.001
	r := start(t, cfg)
	for range 5 {
		r.do("GET", "/orders/1", "")
	}
	if places := r.settled(5); places[parallax.InQueue] != 1 || places[parallax.LostRateLimited] != 4 {
		t.Errorf("places %v, want one compared and four lost/rate_limited", places)
	}
}

// TestHealthChecksOverHTTP checks with requests of their own, which are no
// traffic.
func TestHealthChecksOverHTTP(t *testing.T) {
	t.Parallel()
	healthz := func(status int) mirrortest.Answer {
		return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
			if r.Target == "/healthz" {
				return mirrortest.Status(status)(b, conn, r)
			}
			return mirrortest.JSON(`{}`)(b, conn, r)
		}
	}
	a, b := mirrortest.NewBackend(t, healthz(200)), mirrortest.NewBackend(t, healthz(503))
	cfg := single(a.URL, b.URL)
	cfg.Primary.Health = upstream.Health{Path: "/healthz", Interval: 10 * time.Millisecond, Timeout: time.Second, Healthy: 1, Unhealthy: 1, Status: "200"}
	r := start(t, cfg)
	status := func(want mirror.InstanceStatus) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var got mirror.InstanceStatus
		for range 10_000 {
			if got = r.Mirror.Legs()[0].Instances[1]; got == want {
				return
			}
			<-tick.C
		}
		t.Fatalf("got %+v, want %+v", got, want)
	}
	status(mirror.InstanceStatus{Name: b.URL, Reason: "health check: GET /healthz is answered 503"})
	before := b.Count()
	for range 20 {
		r.do("GET", "/orders/1", "")
	}
	for _, seen := range b.Seen()[:before] {
		if seen.Target != "/healthz" || seen.Header.Get("User-Agent") != "Parallax health check" {
			t.Errorf("the unhealthy instance was asked for %s", seen.Target)
		}
	}
	b.Become(healthz(200))
	status(mirror.InstanceStatus{Name: b.URL, Up: true})
	if n := len(r.settled(20)); n != 1 {
		t.Errorf("%d places are in use: health checks are no traffic", n)
	}
}
