package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror/split"
)

func TestRoleMark(t *testing.T) {
	t.Parallel()
	key, id := newMACs([]byte("0123456789abcdef")), parallax.ID{1, 2, 3, 15: 9}
	of := mark{role: shadow, service: "shop", exchange: id, hops: 3}
	alive := of
	alive.role = live
	genuine := of.signed(key)
	f := func(baggage string, want bool) {
		t.Helper()
		m, ok := findMark(key, []parallax.Field{{Name: "baggage", Value: baggage}})
		if ok != want || ok && m != of {
			t.Errorf("findMark(%q) = %+v, %t, want %t", baggage, m, ok, want)
		}
	}
	if m, ok := findMark(key, []parallax.Field{{Name: "Baggage", Value: alive.signed(key)}}); !ok || m != alive {
		t.Errorf("a live mark is read as %+v, %t", m, ok)
	}
	f(alive.signed(key)+","+genuine, true) // the shadow's counts
	f(genuine+","+alive.signed(key), true)
	f(strings.Replace(alive.signed(key), "live", "shadow", 1), false)
	f(strings.Replace(genuine, ":3:", ":1:", 1), false)
	f(genuine, true)
	f("a=1 , "+genuine+";p=1,b=2", true)
	f("a=1", false)
	f("", false)
	f(strings.Replace(genuine, "shop", "shap", 1), false)
	f(genuine[:len(genuine)-1], false)
	f(genuine+"0", false)
	f(of.signed(newMACs([]byte("another key of it"))), false)
	f("parallax-role=:", false)
	if got := withoutMarks([]string{"a=1," + genuine, " , b=2 ,parallax-role=x"}); got != "a=1,b=2" {
		t.Errorf("withoutMarks = %q", got)
	}
}

func TestCapture(t *testing.T) {
	t.Parallel()
	f := func(max, budget int64, pieces []string, wantBytes string, wantCut parallax.Place) {
		t.Helper()
		b := NewBudget(budget)
		c := &capture{max: max, budget: b, hint: -1}
		for _, p := range pieces {
			c.write([]byte(p))
			if b.InUse() > budget || b.InUse() != int64(cap(c.bytes)) {
				t.Errorf("%q: %d bytes reserved of %d, %d held", pieces, b.InUse(), budget, cap(c.bytes))
			}
		}
		c.ended = true
		whole := strings.Join(pieces, "")
		got := c.body()
		want := parallax.Body{Bytes: []byte(wantBytes), Size: int64(len(whole)), SHA256: sha256.Sum256([]byte(whole)), Cut: wantCut != ""}
		if !bytes.Equal(got.Bytes, want.Bytes) || got.Size != want.Size || got.Sum() != want.SHA256 || got.Cut != want.Cut || c.cut != wantCut {
			t.Errorf("%q: %+v cut by %q, want %+v cut by %q", pieces, got, c.cut, want, wantCut)
		}
		c.release()
		if b.InUse() != 0 {
			t.Errorf("%q: %d bytes stay reserved", pieces, b.InUse())
		}
	}
	f(10, 100, nil, "", "")
	f(10, 100, []string{"hello"}, "hello", "")
	f(10, 100, []string{"hello", "world"}, "helloworld", "")
	f(10, 100, []string{"hello", "world!"}, "helloworld", parallax.UnmirroredBodySize)
	f(10, 100, []string{"hello world", " and more"}, "hello worl", parallax.UnmirroredBodySize)
	f(100, 8, []string{"hello", "world", "again"}, "hello", parallax.UnmirroredBudget)
	f(100, 0, []string{"hello"}, "", parallax.UnmirroredBudget)
}

func TestHeaderChanges(t *testing.T) {
	t.Parallel()
	c := newChanges(RequestChanges{Set: map[string]string{"X-B": "2", "X-A": "1"}, Remove: []string{"cookie"}})
	got := c.apply([]parallax.Field{{Name: "Cookie", Value: "c"}, {Name: "x-a", Value: "old"}, {Name: "Accept", Value: "*/*"}})
	want := []parallax.Field{{Name: "Accept", Value: "*/*"}, {Name: "X-A", Value: "1"}, {Name: "X-B", Value: "2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := Service{
		Name: "Shop!", Listen: "127.0.0.1:8080",
		Primary:   LegConfig{State: "owned", Timeout: -1, Version: "header:X Version"},
		Candidate: LegConfig{URLs: LegURLs("http://ok:1", "ftp://x", "http://u:p@x", "http://x/path", "srv+http://name:80", "http://127.0.0.1:8080"), Version: "body"},
		Endpoints: []string{"GET /x", "nonsense"},
		Mirror: Options{Sample: 2, Unsafe: "maybe", Request: ShadowChanges{RequestChanges: RequestChanges{
			Set:    map[string]string{"X-Parallax-Role": "live", "X Shadow": "1", "X-Lines": "x\ny", "X-Ok": "x\ty"},
			Remove: []string{"X-Ok", "Host", "X:Y"},
		}, Mask: []string{"body"}}},
		Split: split.Config{Key: "body"},
	}
	_, faults := New(bad, Deps{})
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	want := []string{
		"name", "primary.urls", "primary.state", "primary.version", "primary.timeout",
		"candidate.urls[1]", "candidate.urls[2]", "candidate.urls[3]", "candidate.urls[4]", "candidate.urls[5]", "candidate.version",
		"endpoints[1]", "mirror.sample", "mirror.unsafe", "mirror.max_body", "mirror.timeout", "mirror.in_flight",
		"mirror.request.set.X Shadow", "mirror.request.set.X-Lines", "mirror.request.set.X-Parallax-Role",
		"mirror.request.remove[1]", "mirror.request.remove[2]", "mirror.request.mask[0]", "split.key", "",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if faults := DefaultOptions().Validate(); len(faults) > 0 {
		t.Errorf("the defaults are faulty: %v", faults)
	}
	for _, f := range faults {
		if strings.Contains(f.Error(), "u:p") {
			t.Errorf("a fault repeats credentials: %s", f.Error())
		}
	}
}

// An address that cannot be used may hold credentials anywhere.
func TestNoFaultQuotesAnAddress(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"http://user:s3cret@host:port", "http://user:s3cret@host/%zz", "ftp://user:s3cret@host", "user:s3cret@host:80", "srv+http://user:s3cret@name",
		"http://user:s3cret@host", "http://host/?token=s3cret", "http://host/s3cret", "://s3cret",
	} {
		faults := LegConfig{URLs: LegURLs(text)}.Validate()
		if len(faults) != 1 || faults[0].Path != "urls[0]" || strings.Contains(faults[0].Error(), "s3cret") {
			t.Errorf("%q: %v, want one fault without the secret", text, faults)
		}
	}
}

func TestOwnListenerIsNoLeg(t *testing.T) {
	t.Parallel()
	f := func(listen, address string, want bool) {
		t.Helper()
		faults := Service{Name: "shop", Listen: listen, Primary: LegConfig{URLs: LegURLs(address)}, Mirror: DefaultOptions()}.Validate()
		if got := len(faults) > 0; got != want {
			t.Errorf("listen %q, primary %q: %v, want a fault: %t", listen, address, faults, want)
		}
	}
	f("127.0.0.1:8080", "http://127.0.0.1:8080", true)
	f("127.0.0.1:8080", "http://localhost:8080", true)
	f("127.0.0.1:8080", "http://0.0.0.0:8080", true)
	f("localhost:8080", "http://127.0.0.1:8080", true)
	f(":8080", "http://127.0.0.1:8080", true)
	f(":8080", "http://[::1]:8080", true)
	f(":8080", "http://LOCALHOST:8080", true)
	f("0.0.0.0:8080", "http://127.9.9.9:8080", true)
	f("[::]:8080", "http://127.0.0.1:8080", true)
	f(":80", "http://127.0.0.1", true)
	f(":443", "https://localhost", true)
	f("shop.example:80", "http://SHOP.example", true)

	f(":8080", "http://127.0.0.1:8081", false)
	f(":8080", "http://192.0.2.1:8080", false) // another machine's, as far as anybody can tell
	f(":8080", "http://shop.example:8080", false)
	f("127.0.0.1:8080", "http://127.0.0.2:8080", false)
	f("127.0.0.1:8080", "http://[::1]:8080", false)
	f("0.0.0.0:8080", "http://[::1]:8080", false)
	f("192.0.2.1:8080", "http://127.0.0.1:8080", false)
	f("127.0.0.1:0", "http://127.0.0.1:8080", false)
	f("", "http://127.0.0.1:8080", false)
}

// What the states of the two legs say together. With mirror.unsafe allowed, the
// candidate live and an unsafe request, the primary is the shadow.
func TestThePrimarysStateIsNotBelievedAlone(t *testing.T) {
	t.Parallel()
	all := append([]State{""}, states...)
	for _, ps := range all {
		for _, cs := range all {
			cfg := Service{Name: "shop", Mirror: DefaultOptions(), Primary: LegConfig{URLs: LegURLs("http://a"), State: ps}, Candidate: LegConfig{URLs: LegURLs("http://b"), State: cs}}
			contradicts := cs != Own && ps != "" && ps != Shared
			if faults := cfg.Validate(); (len(faults) > 0) != contradicts {
				t.Errorf("primary %q, candidate %q: %v, want a fault: %t", ps, cs, faults, contradicts)
			}
			allowed := endpointPolicy{unsafe: true, sample: 1}
			primary, candidate := &leg{name: parallax.Primary, state: ps.orShared()}, &leg{name: parallax.Candidate, state: cs.orShared()}
			f := &flight{m: &Mirror{}, x: &parallax.Exchange{}, endpoint: &endpoint{endpointPolicy: allowed}, live: candidate}
			takes := f.refuses(f.endpoint, primary) == ""
			if want := cs == Own && (ps == None || ps == Dry || ps == Own); takes != want {
				t.Errorf("primary %q as the shadow of a candidate that is %q takes unsafe requests: %t, want %t", ps, cs, takes, want)
			}
		}
	}
}

func TestStateTable(t *testing.T) {
	t.Parallel()
	f := func(s State, takesUnsafe, liveSafe, liveUnsafe bool) {
		t.Helper()
		if s.TakesUnsafe() != takesUnsafe || s.MayBeLive(true) != liveSafe || s.MayBeLive(false) != liveUnsafe {
			t.Errorf("state %q: %t %t %t", s, s.TakesUnsafe(), s.MayBeLive(true), s.MayBeLive(false))
		}
	}
	f("", false, true, true)
	f(None, true, true, true)
	f(Dry, true, true, true)
	f(Shared, false, true, true)
	f(Follower, false, true, false)
	f(Own, true, true, false)
	f("nonsense", false, false, false)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	e := NewMetrics(reg).of("shop", "GET /orders/{id}")
	e.count(parallax.Primary, live, &parallax.Call{Response: parallax.Response{Status: 200}})
	e.count(parallax.Primary, live, &parallax.Call{Response: parallax.Response{Status: 200}})
	e.count(parallax.Candidate, shadow, &parallax.Call{Response: parallax.Response{Status: 200}, Err: parallax.CallErr{Kind: parallax.Timeout}})
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP parallax_requests_total Requests sent to a leg; code is the answer's status, or why there was no complete answer.
# TYPE parallax_requests_total counter
parallax_requests_total{code="200",endpoint="GET /orders/{id}",leg="primary",role="live",service="shop"} 2
parallax_requests_total{code="timeout",endpoint="GET /orders/{id}",leg="candidate",role="shadow",service="shop"} 1
`), "parallax_requests_total")
	if err != nil {
		t.Error(err)
	}
}

// How HTTP is spoken is package h1's alone: it is named in two files, and Go's
// own client and server in none.
func TestOnlyTheMachineryKnowsHTTP(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := f.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`"net/http`)) != strings.HasSuffix(name, "_h2.go") {
			t.Errorf("%s: net/http is for server_h2.go, client_h2.go and call_h2.go", name)
		}
		if bytes.Contains(text, []byte(`internal/h1"`)) != strings.HasSuffix(name, "_http.go") {
			t.Errorf("%s: package h1 is for server_http.go and client_http.go", name)
		}
	}
}

func BenchmarkRoleMark(b *testing.B) {
	key := newMACs([]byte("0123456789abcdef"))
	m := mark{service: "shop", exchange: parallax.ID{1, 2, 3, 15: 9}, hops: 1}
	b.ReportAllocs()
	for b.Loop() {
		m.signed(key)
	}
}

func BenchmarkIdentify(b *testing.B) {
	m := &Mirror{fleet: newMACs([]byte("0123456789abcdef"))}
	f := &flight{m: m, service: &service{name: "shop"}, x: &parallax.Exchange{ID: parallax.ID{1, 2, 3, 15: 9}}, hops: 1}
	for l := range parallax.Leg(2) {
		f.service.legs[l] = &leg{name: l}
	}
	f.live = f.service.legs[parallax.Primary]
	b.ReportAllocs()
	for b.Loop() {
		f.identify(parallax.TraceOf(f.x.ID))
	}
}

// TestMarkOfOneRoleIsNotTheOthers changes the role in a genuine mark: it must not
// be taken for the other role's.
func TestMarkOfOneRoleIsNotTheOthers(t *testing.T) {
	t.Parallel()
	key := newMACs([]byte("a key of sixteen bytes or more"))
	for r, other := range map[role]role{live: shadow, shadow: live} {
		m := mark{role: r, service: "shop", exchange: parallax.ID{7}, hops: 2}
		text := m.signed(key)
		if got, ok := readMark(key, text); !ok || got != m {
			t.Errorf("readMark(%q) = %+v, %t", text, got, ok)
		}
		forged := strings.Replace(text, "="+r.String()+":", "="+other.String()+":", 1)
		if got, ok := readMark(key, forged); ok {
			t.Errorf("forged mark %q is taken for %+v", forged, got)
		}
	}
}

// TestANetContextIsNeverOverWithoutAnError: package context panics on one that is.
func TestANetContextIsNeverOverWithoutAnError(t *testing.T) {
	f := func(name string, end func(*catcher, context.CancelFunc), first bool) {
		caller, leave := context.WithCancel(t.Context())
		n := &catcher{}
		c := &netContext{caller, n}
		if err := c.Err(); err != nil {
			t.Errorf("%s: %v before it is over", name, err)
		}
		if first {
			end(n, leave)
		}
		done := c.Done()
		if !first {
			end(n, leave)
		}
		<-done
		if c.Err() == nil || context.Cause(c) == nil {
			t.Errorf("%s: over with %v, because of %v", name, c.Err(), context.Cause(c))
		}
		leave()
	}
	for _, first := range []bool{false, true} {
		f("the caller leaves", func(_ *catcher, leave context.CancelFunc) { leave() }, first)
		f("it is late", func(n *catcher, _ context.CancelFunc) { n.expire() }, first)
		f("it is folded", func(n *catcher, _ context.CancelFunc) { n.fold() }, first)
	}
}
