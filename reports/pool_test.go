package reports

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// pooled is the quick policy with a pool of what is below /rare.
func pooled() Promotion {
	p := quick()
	p.Pools = map[string][]string{"rare": {"GET /rare/*", "GET /seldom"}}
	return p
}

// drop is a tick under that policy, or another.
func drop(p Promotion, endpoint string, seconds int, n, k uint64) divergence.Tick {
	t := tick(endpoint, seconds, n, k)
	t.PolicyHash = p.Hash()
	return t
}

// TestAPoolPassesTogether: at the first exchange that suffices, whoever brings it, while
// others still need their own.
func TestAPoolPassesTogether(t *testing.T) {
	t.Parallel()
	p := pooled()
	e := fold(p, drop(p, "GET /rare/a", 1, 200, 0), drop(p, "GET /seldom", 2, 176, 0), drop(p, "GET /b", 2, 100, 0))
	v := at(e, 3)
	is(t, v, Hold, "insufficient_samples GET /b", "insufficient_samples pool rare")
	if r := v.Reasons[1]; r.N != 376 || r.Need != 377 || !strings.HasPrefix(r.Sentence(), "pool rare: needs 377 exchanges and has 376") {
		t.Errorf("%+v: %s", r, r.Sentence())
	}
	e.Add(drop(p, "GET /rare/c", 4, 1, 0))
	v = at(e, 5)
	is(t, v, Hold, "insufficient_samples GET /b")
	want := []PoolVerdict{{Pool: "rare", Members: []string{"GET /rare/a", "GET /rare/c", "GET /seldom"}, N: 377, Upper: UpperLimit(0, 377, 0.05), Decision: Promote, Reasons: []Reason{}}}
	if diff := cmp.Diff(want, v.Pools); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	e.Add(drop(p, "GET /b", 6, 277, 0))
	is(t, at(e, 7), Promote)
	for _, each := range at(e, 7).Endpoints {
		if each.Decision != Promote || (each.Pool == "rare") != (each.Endpoint != "GET /b") {
			t.Errorf("%+v", each)
		}
	}
	e.Add(drop(p, "GET /rare/new", 8, 1, 0)) // needs nothing of its own
	is(t, at(e, 9), Promote)
}

// TestABrokenMemberIsNotHiddenByItsPool: one divergence of it holds, some more roll back,
// however many good exchanges the others have.
func TestABrokenMemberIsNotHiddenByItsPool(t *testing.T) {
	t.Parallel()
	p := pooled()
	begin := func(k, b uint64) *Evidence {
		broken := drop(p, "GET /rare/broken", 2, max(k, b), k)
		broken.B = b
		return fold(p, drop(p, "GET /rare/a", 1, 100_000, 0), broken)
	}
	is(t, at(begin(1, 0), 3), Hold, "divergence_rate GET /rare/broken")
	is(t, at(begin(2, 0), 3), Hold, "divergence_rate GET /rare/broken")
	is(t, at(begin(3, 0), 3), Rollback, "divergence_rate GET /rare/broken")
	is(t, at(begin(0, 1), 3), Hold, "candidate_errors GET /rare/broken")

	e := begin(1, 0)
	e.Add(drop(p, "GET /rare/broken", 4, 98, 0)) // 1 of 99 at one percent
	is(t, at(e, 5), Hold, "divergence_rate GET /rare/broken")
	e.Add(drop(p, "GET /rare/broken", 6, 1, 0)) // 1 of 100: not above it any more
	is(t, at(e, 7), Promote)

	e = fold(p, drop(p, "GET /rare/a", 1, 1000, 0), drop(p, "GET /rare/odd", 2, 40, 1))
	is(t, at(e, 3), Hold, "divergence_rate GET /rare/odd")
	is(t, withSigned(e, 4, signedAt(t, e, "GET /rare/odd", 3)), Promote) // on a person's word
}

// TestAPoolIsRolledBackTogether: by what none of its members shows alone.
func TestAPoolIsRolledBackTogether(t *testing.T) {
	t.Parallel()
	p := pooled()
	e := NewEvidence(p)
	for i := range 40 {
		e.Add(drop(p, fmt.Sprintf("GET /rare/%d", i), i, 20, 2))
	}
	v := at(e, 50)
	if v.Decision != Rollback || v.Reasons[0].Endpoint != "pool rare" || len(v.Reasons) != 1 || v.Pools[0].Decision != Rollback {
		t.Errorf("%s %v; pools %+v", v.Decision, codesOf(v), v.Pools)
	}
	apart := quick()
	e = NewEvidence(apart)
	for i := range 40 {
		e.Add(drop(apart, fmt.Sprintf("GET /rare/%d", i), i, 20, 2))
	}
	if v := at(e, 50); v.Decision != Hold {
		t.Errorf("without the pool: %s", v.Decision)
	}
}

// TestAPoolHoldsByWhatIsUndecided: a rate that is not surely low enough, and a late
// regression of all.
func TestAPoolHoldsByWhatIsUndecided(t *testing.T) {
	t.Parallel()
	p := pooled()
	e := fold(p, drop(p, "GET /rare/a", 1, 300, 2), drop(p, "GET /rare/b", 1, 300, 1))
	is(t, at(e, 2), Hold, "divergence_rate pool rare")
	e = NewEvidence(p)
	for i := range 10 {
		e.Add(drop(p, fmt.Sprintf("GET /rare/%d", i), i, 10_000, 0))
	}
	is(t, at(e, 10), Promote)
	for i := range 10 {
		e.Add(drop(p, fmt.Sprintf("GET /rare/%d", i), 11+i, 20, 2))
	}
	is(t, at(e, 22), Hold, "late_regression pool rare")
}

// TestWaivedAndForgottenEndpointsAreOutOfTheirPool: also what they have shown before.
func TestWaivedAndForgottenEndpointsAreOutOfTheirPool(t *testing.T) {
	t.Parallel()
	p := pooled()
	p.Endpoints = map[string]Waiver{"GET /rare/bad": {Waived: "2026-11-21 team-pay"}}
	ticks := []divergence.Tick{drop(p, "GET /rare/bad", 1, 400, 400), drop(p, "GET /rare/a", 2, 100, 0)}
	v := at(fold(p, ticks...), 3)
	is(t, v, Hold, "insufficient_samples pool rare")
	if v.Reasons[0].N != 100 || !cmp.Equal(v.Pools[0].Members, []string{"GET /rare/a"}) {
		t.Errorf("%+v", v.Pools)
	}
	tomorrow := at(fold(p, ticks...), 13*3600)
	if got := tomorrow.Pools[0]; got.Decision != Rollback || got.N != 500 {
		t.Errorf("when the waiver is over: %+v", got)
	}

	// Somebody else's old exchanges do not speak for what is left.
	old := drop(pooled(), "GET /rare/old", -7*24*3600, 400, 0)
	e := fold(pooled(), old, drop(pooled(), "GET /rare/a", -1, 100, 0))
	is(t, at(e, 0), Promote)
	is(t, at(e, 1), Hold, "insufficient_samples pool rare")
	e.Add(drop(pooled(), "GET /rare/a", 2, 1, 0))
	is(t, at(e, 3), Hold, "insufficient_samples pool rare")
}

// TestNewRulesOfAMemberStartItsPoolAnew: what the others showed stands.
func TestNewRulesOfAMemberStartItsPoolAnew(t *testing.T) {
	t.Parallel()
	p := pooled()
	e := fold(p, drop(p, "GET /rare/a", 1, 300, 0), drop(p, "GET /rare/b", 2, 100, 30))
	if v := at(e, 3); v.Decision != Rollback {
		t.Fatalf("%s %v", v.Decision, codesOf(v))
	}
	mended := drop(p, "GET /rare/b", 4, 10, 0)
	mended.RulesHash = "r2"
	e.Add(mended)
	v := at(e, 5)
	is(t, v, Hold, "insufficient_samples pool rare")
	if v.Pools[0].N != 310 || v.Pools[0].K != 0 {
		t.Errorf("%+v", v.Pools[0])
	}
	// Rules in force of which there is no tick yet: likewise.
	e = fold(p, drop(p, "GET /rare/a", 1, 300, 0), drop(p, "GET /rare/b", 2, 100, 30))
	in := Context{RulesHash: func(endpoint string) string {
		return map[bool]string{true: "r2", false: "r1"}[endpoint == "GET /rare/b"]
	}}
	v = e.Verdict(noon.Add(3*time.Second), in)
	is(t, v, Hold, "insufficient_samples pool rare")
	if v.Pools[0].N != 300 {
		t.Errorf("%+v", v.Pools[0])
	}
}

// TestSharesOfMembersHoldByThemselves: what is lost or cannot be compared is nobody else's.
func TestSharesOfMembersHoldByThemselves(t *testing.T) {
	t.Parallel()
	p := pooled()
	lost, not := drop(p, "GET /rare/lost", 2, 0, 0), drop(p, "GET /rare/not", 2, 0, 0)
	lost.Received, lost.Lost, not.NotComparable = 2, 2, 2
	is(t, at(fold(p, drop(p, "GET /rare/a", 1, 1000, 0), lost, not), 3), Hold, "lost_share GET /rare/lost", "not_comparable GET /rare/not")
}

func TestPoolsAreValidated(t *testing.T) {
	t.Parallel()
	f := func(pools map[string][]string, want ...string) {
		t.Helper()
		p := quick()
		p.Pools = pools
		p.Endpoints = map[string]Waiver{"GET /own": {MaxErrorRate: 0.02}}
		got := []string{}
		for _, fault := range p.Validate() {
			got = append(got, fault.Path+": "+fault.Text)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", pools, diff)
		}
	}
	f(map[string][]string{"a": {"GET /a/*", "GET /b"}, "b": {"GET /c", "POST *"}})
	f(map[string][]string{"Rare reads": {"GET /a"}}, `pools["Rare reads"]: cannot be a pool's name: "Rare reads"`)
	f(map[string][]string{"a": {}}, `pools["a"]: has no endpoints`)
	f(map[string][]string{"a": {"/a", "GET /a*b", "get /a", "GET a", "", "* /a"}},
		`pools["a"][0]: cannot read endpoint "/a"`, `pools["a"][1]: cannot read endpoint "GET /a*b"`, `pools["a"][2]: cannot read endpoint "get /a"`,
		`pools["a"][3]: cannot read endpoint "GET a"`, `pools["a"][4]: cannot read endpoint ""`, `pools["a"][5]: cannot read endpoint "* /a"`)
	f(map[string][]string{"a": {"GET /a/*"}, "b": {"GET /a/{id}"}}, `pools["b"][0]: "GET /a/{id}" has endpoints that are in the pool "a" too`)
	f(map[string][]string{"a": {"GET /a/{id}"}, "b": {"GET *"}}, `pools["b"][0]: "GET *" has endpoints that are in the pool "a" too`,
		`endpoints["GET /own"]: has limits of its own and is in the pool "b", which is judged by those of the service`)
	f(map[string][]string{"a": {"GET /a/b*"}, "b": {"GET /a/*"}}, `pools["b"][0]: "GET /a/*" has endpoints that are in the pool "a" too`)
	f(map[string][]string{"a": {"GET /own"}}, `endpoints["GET /own"]: has limits of its own and is in the pool "a", which is judged by those of the service`)
}

func TestPoolsArePartOfThePolicy(t *testing.T) {
	t.Parallel()
	if pooled().Hash() == quick().Hash() {
		t.Error("what is judged together may change without new evidence")
	}
}

// TestErrorsOfAPool: four members that are alike are looked at after each tick. One exactly
// at the limit is promoted with probability alpha at most, one at half of it hardly ever
// rolled back; one that is good is promoted.
func TestErrorsOfAPool(t *testing.T) {
	t.Parallel()
	p := pooled()
	hash, random := p.Hash(), rand.New(rand.NewPCG(3, 4))
	run := func(rate float64, runs int) (promoted, rolledBack int) {
		for range runs {
			e := NewEvidence(p)
			for i := range 250 {
				x := tick(fmt.Sprintf("GET /rare/%d", i%4), i, 8, 0)
				x.PolicyHash = hash
				for range 8 {
					if random.Float64() < rate {
						x.K++
					}
				}
				e.Add(x)
			}
			v := at(e, 250)
			if e.pools["rare"].passed.divergence {
				promoted++
			}
			if v.Decision == Rollback {
				rolledBack++
			}
		}
		return promoted, rolledBack
	}
	runs := statistics(100, 4000)
	promoted, _ := run(p.MaxDivergenceRate, runs)
	mean := p.Alpha * float64(runs)
	t.Logf("at the limit %d of %d were promoted", promoted, runs)
	if float64(promoted) > mean+3*math.Sqrt(mean) {
		t.Errorf("at the limit %d of %d were promoted", promoted, runs)
	}
	if promoted, back := run(p.MaxDivergenceRate/20, runs/4); promoted < runs*19/80 || back > 0 {
		t.Errorf("of %d good ones %d were promoted and %d rolled back", runs/4, promoted, back)
	}
	_, back := run(p.MaxDivergenceRate/2, runs)
	t.Logf("at half the limit %d of %d were rolled back", back, runs)
	if float64(back) > 1+3*p.Beta*float64(runs) {
		t.Errorf("at half the limit %d of %d were rolled back", back, runs)
	}
}

func TestPoolsAreRendered(t *testing.T) {
	t.Parallel()
	p := pooled()
	v := at(fold(p, drop(p, "GET /rare/a", 1, 200, 0), drop(p, "GET /seldom", 1, 177, 0)), 3)
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "GET /seldom", Matched: 177}}}, v)
	for name, c := range map[string]struct {
		write func(*bytes.Buffer) error
		want  []string
	}{
		"text": {func(b *bytes.Buffer) error { return WriteText(b, r, v) }, []string{
			"Judged together:\n  - rare (GET /rare/a, GET /seldom): promote; 0 of 377 exchanges diverge", "promote (in pool rare)"}},
		"markdown": {func(b *bytes.Buffer) error { return WriteMarkdown(b, r, v) }, []string{"### Judged together\n\n- rare (GET /rare/a, GET /seldom): promote; 0 of 377"}},
		"junit":    {func(b *bytes.Buffer) error { return WriteJUnit(b, r, v) }, []string{`name="rare"`}},
	} {
		var b bytes.Buffer
		err := c.write(&b)
		for _, want := range c.want {
			if err != nil || !strings.Contains(b.String(), want) {
				t.Errorf("%s, %v: %q is not in\n%s", name, err, want, &b)
			}
		}
	}
}
