package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// drawn puts pieces together at random.
func drawn(random *rand.Rand, from []string, most int) string {
	var b strings.Builder
	for range random.IntN(most + 1) {
		b.WriteString(from[random.IntN(len(from))])
	}
	return b.String()
}

var (
	pathParts  = []string{"/", "/a", "/./", "/..", "//", "%2F", "b;c", "caf%C3%A9", "\xc3\xa9", "~", "+", "{x}", "|", "api"}
	queryParts = []string{"a=1", "&", "&&", ";", "=", "%zz", "b", "q=x+y", "?", "/", "\xe9", "a=2", "{}", "utm_source=x"}
	valueParts = []string{"a", " ", ",", "\t", `"`, ";", "=", "\xe9", "é", "\\", "0", "()", "  b"}
	fieldNames = []string{"X-A", "x-a", "X-B", "Cookie", "Accept", "accept", "X_Under", "Authorization", "Via"}
)

// request is one that is written to a socket.
type request struct {
	line    string
	headers []string
	body    []byte
}

func randomRequest(random *rand.Rand) request {
	r := request{line: "POST /search" + drawn(random, pathParts, 6)}
	if random.IntN(3) > 0 {
		r.line += "?" + drawn(random, queryParts, 8)
	}
	for range random.IntN(12) {
		r.headers = append(r.headers, fieldNames[random.IntN(len(fieldNames))]+": "+strings.TrimSpace(drawn(random, valueParts, 8)))
	}
	r.body = make([]byte, random.IntN(3)*random.IntN(5000))
	for i := range r.body {
		r.body[i] = byte(random.Uint32())
	}
	return r
}

func (r request) text() string {
	return fmt.Sprintf("%s HTTP/1.1\r\nHost: Shop.example:81\r\n%s\r\nContent-Length: %d\r\n\r\n%s", r.line, strings.Join(append(r.headers, "X-Last: 1"), "\r\n"), len(r.body), r.body)
}

// given returns a request as a leg saw it, without what Parallax adds or says
// differently to each leg.
func given(s *mirrortest.Seen) request {
	out := request{line: strings.TrimSuffix(s.Line, " HTTP/1.1"), body: s.Body}
	for _, line := range s.Head {
		name, _, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(name, "X-Parallax-"), strings.HasPrefix(name, "X-Forwarded-"), name == "Baggage", name == "Traceparent", name == "Content-Length":
		default:
			out.headers = append(out.headers, line)
		}
	}
	return out
}

// TestLegsGetTheSameBytes: whatever a caller sends, both legs get its target,
// headers and body byte by byte and in its order, but for what is declared.
func TestLegsGetTheSameBytes(t *testing.T) {
	t.Parallel()
	f := func(change func(*mirror.Service), want func(leg parallax.Leg, sent *request)) {
		t.Helper()
		r, primary, candidate := twins(t, mirror.Own, change)
		for seed := range uint64(120) {
			sent := randomRequest(rand.New(rand.NewPCG(seed, 42)))
			in, conn := r.raw(sent.text())
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("seed %d: %q: %v", seed, sent.text(), err)
			}
			io.Copy(io.Discard, res.Body)
			conn.Close()
			if res.StatusCode != 200 {
				t.Fatalf("seed %d: %q is answered %d", seed, sent.line, res.StatusCode)
			}
			n := int(seed) + 1
			for leg, b := range map[parallax.Leg]*mirrortest.Backend{parallax.Primary: primary, parallax.Candidate: candidate} {
				got, expected := given(b.Wait(t, n)[n-1]), sent
				expected.headers = append([]string{"Host: Shop.example:81"}, append(sent.headers, "X-Last: 1")...)
				want(leg, &expected)
				if got.line != expected.line || !bytes.Equal(got.body, expected.body) {
					t.Fatalf("seed %d: the %s got %q and %d bytes, want %q and %d", seed, leg, got.line, len(got.body), expected.line, len(expected.body))
				}
				if diff := cmp.Diff(expected.headers, got.headers); diff != "" {
					t.Fatalf("seed %d: headers at the %s (-want +got)\n%s", seed, leg, diff)
				}
			}
		}
		r.Stop()
	}
	f(func(*mirror.Service) {}, func(parallax.Leg, *request) {})
	f(func(cfg *mirror.Service) {
		cfg.Candidate.Rewrite = []mirror.Rewrite{{Path: "^/search", To: new("/v2/find")}, {Query: "nowhere", Remove: true}}
		cfg.Candidate.Host = "new.internal"
		cfg.Candidate.Request = mirror.RequestChanges{Set: map[string]string{"X-New": "1"}, Remove: []string{"Cookie"}}
	}, func(leg parallax.Leg, sent *request) {
		if leg == parallax.Primary {
			return
		}
		sent.line = strings.Replace(sent.line, "/search", "/v2/find", 1)
		var headers []string
		for _, h := range sent.headers[1:] {
			if !strings.HasPrefix(h, "Cookie:") {
				headers = append(headers, h)
			}
		}
		sent.headers = append(append([]string{"Host: new.internal"}, headers...), "X-New: 1")
	})
}

// TestRewritesHoldInBothRoles: what is declared of a leg holds when it answers
// callers as well.
func TestRewritesHoldInBothRoles(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.None, func(cfg *mirror.Service) {
		cfg.Candidate.Rewrite = []mirror.Rewrite{{Path: "^/", To: new("/v2/")}, {Query: "v", Set: new("2")}}
		cfg.Candidate.Request.Set = map[string]string{"X-New": "1"}
		cfg.Mirror.Request.Set = map[string]string{"X-Shadow": "1", "X-New": "0"}
	})
	for step, role := range map[int]string{0: "shadow", 10000: "live"} {
		r.Mirror.Split().SetStep(step)
		r.do("GET", "/orders", "")
		seen := candidate.Wait(t, candidate.Count())
		for len(seen) == 0 || seen[len(seen)-1].Header.Get("X-Parallax-Role") != role {
			seen = candidate.Wait(t, len(seen)+1)
		}
		last := seen[len(seen)-1]
		if last.Target != "/v2/orders?v=2" || last.Header.Get("X-New") != "1" || (last.Header.Get("X-Shadow") == "1") != (role == "shadow") {
			t.Errorf("as the %s leg it got %s with %v", role, last.Target, last.Head)
		}
	}
	for _, s := range primary.Wait(t, 2) {
		if s.Target != "/orders" {
			t.Errorf("the primary got %s", s.Target)
		}
	}
}

func TestHostOfTheLeg(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.None, func(cfg *mirror.Service) { cfg.Candidate.Host = "leg" })
	r.do("GET", "/orders", "", "Accept: */*")
	if host := candidate.Wait(t, 1)[0].Head[0]; host != "Host: "+strings.TrimPrefix(candidate.URL, "http://") {
		t.Errorf("the candidate got %q", host)
	}
	if host := primary.Wait(t, 1)[0].Head[0]; host != "Host: "+r.Addr {
		t.Errorf("the primary got %q", host)
	}
}

// TestRewritingThatFails costs the comparison where the leg is the shadow, and is
// told the caller where it is live.
func TestRewritingThatFails(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.None, func(cfg *mirror.Service) {
		cfg.Candidate.Rewrite = []mirror.Rewrite{{Path: "/broken/(.*)", To: new("$1")}}
	})
	for _, method := range []string{"GET", "POST"} {
		if res, _ := r.do(method, "/broken/x", ""); res.StatusCode != 200 {
			t.Errorf("%s: the caller got %d for a fault of the shadow leg", method, res.StatusCode)
		}
		x := r.next()
		if c := x.Legs[parallax.Candidate]; c.Err.Kind != parallax.NotAsked || !strings.Contains(c.Err.Text, "rewriting") {
			t.Errorf("%s: the candidate's call is %+v, want not asked, with the reason", method, c.Err)
		}
	}
	r.Mirror.Split().SetStep(10000)
	for i, method := range []string{"GET", "POST"} {
		res, body := r.do(method, "/broken/x", "body")
		if res.StatusCode != 502 || !strings.Contains(body, "urn:parallax:problem:not-rewritten") || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", method, res.StatusCode, body)
		}
		r.settled(3 + i)
	}
	if candidate.Count() != 0 || primary.Count() < 2 {
		t.Errorf("%d requests reached the candidate, %d the primary", candidate.Count(), primary.Count())
	}
	if res, _ := r.do("GET", "/fine", ""); res.StatusCode != 200 {
		t.Errorf("other requests are answered %d", res.StatusCode)
	}
}
