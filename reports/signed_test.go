package reports

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// signedAt is the sign-off that somebody makes of what the evidence offers, seconds
// after noon.
func signedAt(t *testing.T, e *Evidence, endpoint string, seconds int) divergence.SignOff {
	t.Helper()
	var offers []*divergence.SignOff
	v := at(e, seconds)
	for _, each := range v.Endpoints {
		offers = append(offers, each.Offer)
	}
	for _, q := range v.Pools {
		offers = append(offers, q.Offer)
	}
	for _, s := range offers {
		if s != nil && s.Endpoint == endpoint {
			s.At, s.Until, s.Who, s.Reason = noon.Add(time.Duration(seconds)*time.Second), "2026-12-31", "ann", "twice a day"
			return *s
		}
	}
	t.Fatalf("there is nothing to sign of %s", endpoint)
	return divergence.SignOff{}
}

// withSigned is the verdict seconds after noon, with what was signed.
func withSigned(e *Evidence, seconds int, signed ...divergence.SignOff) Verdict {
	return e.Verdict(noon.Add(time.Duration(seconds)*time.Second), Context{Service: "shop", RulesVersion: "r", Said: divergence.Said{Signed: signed}})
}

// TestAPersonPassesARareEndpoint: at what was seen of it, and the verdict says who did.
func TestAPersonPassesARareEndpoint(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /rare", 1, 20, 0), tick("GET /b", 1, 1000, 0))
	is(t, at(e, 2), Hold, "insufficient_samples GET /rare")
	s := signedAt(t, e, "GET /rare", 2)
	v := withSigned(e, 3, s)
	is(t, v, Promote)
	want := []Signed{{Endpoint: "GET /rare", N: 20, Upper: UpperLimit(0, 20, 0.05), Who: "ann", Reason: "twice a day", At: noon.Add(2 * time.Second), Until: "2026-12-31"}}
	if diff := cmp.Diff(want, v.Signed); diff != "" {
		t.Errorf("signed (-want +got):\n%s", diff)
	}
	if got := v.Endpoints[1]; got.Decision != Promote || got.Signed == nil || got.Offer == nil {
		t.Errorf("the endpoint: %+v", got)
	}
	e.Add(tick("GET /rare", 4, 10, 0)) // good news ends nothing
	is(t, withSigned(e, 5, s), Promote)
	e.Add(tick("GET /rare", 6, 1, 1)) // more than was signed
	is(t, withSigned(e, 7, s), Hold, "insufficient_samples GET /rare")
}

// TestAPersonPassesAPool: at what was seen of its members together; it passes no member that
// holds by itself, no rate that is too high, and ends where something else counts than was signed.
func TestAPersonPassesAPool(t *testing.T) {
	t.Parallel()
	p := pooled()
	begin := func() (*Evidence, divergence.SignOff) {
		e := fold(p, drop(p, "GET /rare/a", 1, 150, 0), drop(p, "GET /seldom", 2, 50, 0), drop(p, "GET /b", 2, 1000, 0))
		is(t, at(e, 3), Hold, "insufficient_samples pool rare")
		return e, signedAt(t, e, "pool rare", 3)
	}
	e, s := begin()
	v := withSigned(e, 4, s)
	is(t, v, Promote)
	want := []Signed{{Endpoint: "pool rare", N: 200, Upper: UpperLimit(0, 200, 0.05), Who: "ann", Reason: "twice a day", At: noon.Add(3 * time.Second), Until: "2026-12-31"}}
	if diff := cmp.Diff(want, v.Signed); diff != "" {
		t.Errorf("signed (-want +got):\n%s", diff)
	}
	if q := v.Pools[0]; q.Decision != Promote || q.Signed == nil || q.Offer == nil {
		t.Errorf("the pool: %+v", q)
	}
	e.Add(drop(p, "GET /rare/new", 5, 10, 0)) // good news, also of a new member, ends nothing
	is(t, withSigned(e, 6, s), Promote)
	is(t, withSigned(e, 6, func(s divergence.SignOff) divergence.SignOff { s.Until = "2026-11-01"; return s }(s)), Hold, "insufficient_samples pool rare")

	e, s = begin()
	e.Add(drop(p, "GET /seldom", 5, 0, 0))
	bad := drop(p, "GET /seldom", 6, 10, 1) // one of 60 is above the limit of 1 %, and the pool has more than was signed
	e.Add(bad)
	is(t, withSigned(e, 7, s), Hold, "divergence_rate GET /seldom", "insufficient_samples pool rare")

	e, s = begin()
	s.Limits[0].Upper, s.Limits[1].Upper = 1, 1 // whatever comes
	e.Add(bad)
	is(t, withSigned(e, 7, s), Hold, "divergence_rate GET /seldom")

	e, s = begin()
	other := drop(p, "GET /seldom", 5, 1, 0)
	other.RulesHash = "r2"
	e.Add(other)
	is(t, withSigned(e, 6, s), Hold, "insufficient_samples pool rare")

	e, s = begin()
	e.policy.Endpoints = map[string]Waiver{"GET /seldom": {Waived: "2026-12-31 team"}} // it is out, so that another pool is left
	is(t, withSigned(e, 6, s), Hold, "insufficient_samples pool rare")
}

// TestASignOffPassesNoRateThatIsTooHigh: neither is one offered, nor does one help.
func TestASignOffPassesNoRateThatIsTooHigh(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /rare", 1, 20, 0), tick("GET /b", 1, 1000, 0))
	s := signedAt(t, e, "GET /rare", 2)
	s.Limits[0].Upper = 1 // whatever comes
	s.Limits[1].Upper = 1
	e.Add(tick("GET /rare", 3, 20, 4))
	v := withSigned(e, 4, s)
	is(t, v, Hold, "divergence_rate GET /rare")
	if r := v.Reasons[0]; r.Lower <= r.Threshold || v.Endpoints[1].Offer != nil {
		t.Errorf("lower limit %v at %v, offered %+v", r.Lower, r.Threshold, v.Endpoints[1].Offer)
	}
	e.Add(tick("GET /rare", 5, 20, 18)) // and beyond doubt
	is(t, withSigned(e, 6, s), Rollback, "divergence_rate GET /rare")
}

// TestASignOffPassesNothingElse: what is lost, what cannot be compared, a known bug.
func TestASignOffPassesNothingElse(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*divergence.Tick){
		"lost_share GET /rare":     func(t *divergence.Tick) { t.Lost = 30 },
		"not_comparable GET /rare": func(t *divergence.Tick) { t.NotComparable = 30 },
		"noise_share GET /rare":    func(t *divergence.Tick) { t.Noise = 20 },
	} {
		x := tick("GET /rare", 1, 20, 0)
		change(&x)
		e := fold(quick(), x, tick("GET /b", 1, 10_000, 0))
		is(t, withSigned(e, 3, signedAt(t, e, "GET /rare", 2)), Hold, name)
	}
	e := fold(quick(), tick("GET /rare", 1, 20, 0), tick("GET /b", 1, 1000, 0))
	s := signedAt(t, e, "GET /rare", 2)
	said := saidOf(divergence.IssueDecision{At: noon, Fingerprint: "1-aa", Endpoint: "GET /rare", State: divergence.BugIssue, Who: "ann"})
	said.Signed = []divergence.SignOff{s}
	is(t, e.Verdict(noon.Add(3*time.Second), Context{Said: said}), Hold, "known_bug GET /rare")

	slow := tick("GET /rare", 3, 200, 0)
	slow.SlowB = 100
	e.Add(slow)
	is(t, withSigned(e, 4, s), Hold, "slower GET /rare", "insufficient_samples GET /rare")
}

// TestASignOffEnds: with its day, and with all that is other evidence.
func TestASignOffEnds(t *testing.T) {
	t.Parallel()
	begin := func() *Evidence { return fold(quick(), tick("GET /b", 1, 1000, 0), tick("GET /rare", 1, 20, 0)) }
	s := signedAt(t, begin(), "GET /rare", 2)
	s.Until = "2026-11-21"
	is(t, withSigned(begin(), 12*3600-1, s), Hold, "stale ") // the day is not over
	is(t, withSigned(begin(), 12*3600, s), Hold, "stale ", "insufficient_samples GET /rare")
	for name, change := range map[string]func(*divergence.Tick){
		"rules":   func(t *divergence.Tick) { t.RulesHash = "r2" },
		"version": func(t *divergence.Tick) { t.CandidateVersion = "3.0" },
		"primary": func(t *divergence.Tick) { t.PrimaryVersion = "1.1" },
	} {
		e, next := begin(), tick("GET /rare", 3, 30, 0)
		if name == "primary" {
			old := tick("GET /rare", 2, 0, 0)
			old.PrimaryVersion = "1.0"
			e.Add(old)
		}
		change(&next)
		e.Add(next)
		v := withSigned(e, 4, s)
		if v.Decision != Hold || len(v.Signed) != 0 {
			t.Errorf("other %s: %s %v, signed %v", name, v.Decision, codesOf(v), v.Signed)
		}
		next.RulesHash, next.CandidateVersion, next.PrimaryVersion, next.Seq, next.At = "r1", "2.0", "1.0", 5, noon.Add(5*time.Second)
		e.Add(next) // back again is not the evidence that was signed
		if v := withSigned(e, 6, s); len(v.Signed) != 0 {
			t.Errorf("other %s and back: signed %v", name, v.Signed)
		}
	}
	other := quick()
	other.MaxErrorRate = 0.02
	x := tick("GET /rare", 1, 20, 0)
	x.PolicyHash = other.Hash()
	if v := withSigned(fold(other, x), 3, s); len(v.Signed) != 0 {
		t.Errorf("another policy: signed %v", v.Signed)
	}
	anew := NewEvidenceFrom(quick(), noon.Add(10*time.Second))
	anew.Add(tick("GET /rare", 1, 20, 0))
	anew.Add(tick("GET /rare", 11, 20, 0))
	if v := withSigned(anew, 12, s); len(v.Signed) != 0 {
		t.Errorf("new evidence by hand: signed %v", v.Signed)
	}
	rules := func(string) string { return "r9" }
	v := begin().Verdict(noon.Add(3*time.Second), Context{RulesHash: rules, Said: divergence.Said{Signed: []divergence.SignOff{s}}})
	if len(v.Signed) != 0 {
		t.Errorf("other rules in force: signed %v", v.Signed)
	}
	broken := s
	broken.Limits = nil
	if v := withSigned(begin(), 3, broken); len(v.Signed) != 0 {
		t.Errorf("a row without limits: signed %v", v.Signed)
	}
}

// TestNothingIsOfferedThatCannotBeSigned: an endpoint without an exchange, one that
// passes, one that is waived.
func TestNothingIsOfferedThatCannotBeSigned(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Endpoints = map[string]Waiver{"GET /waived": {Waived: "2026-12-31 team-pay"}}
	none := tick("GET /none", 1, 0, 0)
	none.Received, none.Lost = 5, 1
	e := fold(p, none, tick("GET /passes", 1, 1000, 0), tick("GET /waived", 1, 20, 0), tick("GET /rare", 1, 20, 0))
	for _, v := range at(e, 2).Endpoints {
		if (v.Offer != nil) != (v.Endpoint == "GET /rare") {
			t.Errorf("%s: offered %+v", v.Endpoint, v.Offer)
		}
	}
}

// TestWhatWasSignedIsSeenToBeExceeded: a version whose rate is what was signed, looked at
// after each exchange, is ever called worse with probability alpha at most; one at three
// times that is found. 500 runs of 500 exchanges.
func TestWhatWasSignedIsSeenToBeExceeded(t *testing.T) {
	t.Parallel()
	signed := UpperLimit(0, 20, 0.05)
	random := rand.New(rand.NewPCG(1, 2))
	below := func(rate float64) (runs int) {
		for range 500 {
			var k, n uint64
			for range 500 {
				n++
				if random.Float64() < rate {
					k++
				}
				if LowerLimit(k, n, 0.05) > signed {
					runs++
					break
				}
			}
		}
		return runs
	}
	if got := below(signed); got > 40 {
		t.Errorf("at the signed rate %d of 500 runs show more than was signed, want at most 25 and some", got)
	}
	if got := below(3 * signed); got < 450 {
		t.Errorf("at three times the signed rate %d of 500 runs do", got)
	}
}

func TestSignedEndpointsAreRendered(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /rare", 1, 20, 0), tick("GET /b", 1, 1000, 0))
	v := withSigned(e, 3, signedAt(t, e, "GET /rare", 2))
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "GET /rare", Matched: 20}}}, v)
	want := fmt.Sprintf("GET /rare: passed until 2026-12-31 by ann at 0 of 20 exchanges, so at a rate of at most %s: twice a day.", percent(UpperLimit(0, 20, 0.05)))
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":     func(b *bytes.Buffer) error { return WriteText(b, r, v) },
		"markdown": func(b *bytes.Buffer) error { return WriteMarkdown(b, r, v) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "promote (signed)") {
			t.Errorf("%s, %v:\n%s", name, err, &b)
		}
	}
}
