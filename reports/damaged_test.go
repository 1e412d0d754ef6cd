package reports

import (
	"testing"

	"parallax/divergence"
)

// TestCountsThatCannotBe: a damaged store holds what it is about, and accuses no other
// endpoint.
func TestCountsThatCannotBe(t *testing.T) {
	t.Parallel()
	const huge = ^uint64(0)
	good := func(seconds int) divergence.Tick { return tick("GET /good", seconds, 1000, 0) }
	for name, damage := range map[string]func(*divergence.Tick){
		"more divergences than exchanges": func(x *divergence.Tick) { x.K = huge },
		"more failures than exchanges":    func(x *divergence.Tick) { x.B, x.C = huge, huge },
		"as many as there are numbers":    func(x *divergence.Tick) { x.N, x.K, x.B, x.C = huge, huge, huge, huge },
		"only primary failures":           func(x *divergence.Tick) { x.C, x.SlowC, x.SlowB = huge, huge, huge },
		"all lost":                        func(x *divergence.Tick) { x.Lost, x.Received, x.NotComparable, x.Timed = huge, huge, huge, huge },
	} {
		bad := tick("GET /bad", 2, 10, 0)
		damage(&bad)
		e := fold(quick(), good(1), bad, bad, good(3))
		for _, each := range at(e, 3).Endpoints {
			if each.Endpoint == "GET /good" && each.Decision == Rollback {
				t.Errorf("%s: the other endpoint is to be rolled back: %+v", name, each.Reasons)
			}
		}
		if r := e.rollback; r != nil && r.endpoint != "GET /bad" {
			t.Errorf("%s: rolled back for %s", name, r.endpoint)
		}
		if v := at(e, 3); v.Decision == Promote {
			t.Errorf("%s: promoted", name)
		}
		if s := e.endpoints["GET /bad"].sums; s.n < 10 || s.mirrored() < s.n || s.k > s.n || s.b > s.n {
			t.Errorf("%s: sums %+v", name, s)
		}
	}
}
