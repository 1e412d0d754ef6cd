package divergence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// TestAnswersWithManyIdentifiers: of an answer with thousands of references each is
// asked for. One with more than are looked at is neither called good nor bad.
func TestAnswersWithManyIdentifiers(t *testing.T) {
	t.Parallel()
	set, faults := ids.Compile([]ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("$[*]")}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	const many = ids.MaxSpots + 500
	known := ids.NewMemory(ids.DefaultLimits, time.Now, nil)
	facts := make([]ids.Fact, many)
	for i := range facts {
		facts[i] = ids.Fact{Ref: ids.Ref{Name: "order", Value: fmt.Sprint(20_000 + i)}, To: parallax.Candidate, State: ids.Paired, Partner: fmt.Sprint(90_000 + i)}
	}
	if err := known.Learn(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
	list := func(n, first int, last string) string {
		var out strings.Builder
		for i := range n - 1 {
			fmt.Fprintf(&out, "%d,", first+i)
		}
		return "[" + out.String() + last + "]"
	}
	s := newStage(t)
	s.judge.IDs = &Identifiers{Set: set, Map: known}
	source := &listSource{failed: true}
	want := map[string]string{}
	f := func(endpoint, primary, candidate, outcome string) {
		x := pair(len(source.list)+1, "GET /"+endpoint, 200, 200)
		x.Legs[0], x.Legs[1] = answer(200, time.Millisecond, primary), answer(200, time.Millisecond, candidate)
		source.list = append(source.list, x)
		want["GET /"+endpoint] = outcome
	}
	const some = 4000
	f("right", list(some, 20_000, "29999"), list(some, 90_000, "99999"), "match")
	f("wrong", list(some, 20_000, "23999"), list(some, 90_000, "93998"), "diverged")
	f("same-text", list(some, 20_000, "29999"), list(some, 90_000, "29999"), "diverged")
	f("too-many", list(many, 20_000, fmt.Sprint(20_000+many-1)), list(many, 90_000, fmt.Sprint(90_000+many-1)), "not_comparable truncated")
	f("too-many-alike", list(many, 20_000, "29999"), list(many, 20_000, "29999"), "diverged")
	f("too-many-and-short", list(many, 20_000, "29999"), "[]", "diverged")
	worker := NewWorker(WorkerConfig{Source: source, Recorder: s.rig.Recorder, Ledger: s.rig.ledger, Goroutines: 1, Log: quiet,
		Judge: func(string) *Judge { return s.judge }})
	if err := worker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.flush(t)
	exchanges, err := s.store.Exchanges(t.Context(), "shop", ExchangeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range exchanges {
		if got := strings.TrimSpace(x.Outcome + " " + x.Reason); got != want[x.Endpoint] {
			t.Errorf("%s: %s, want %s", x.Endpoint, got, want[x.Endpoint])
		}
		delete(want, x.Endpoint)
	}
	for endpoint := range want {
		if want[endpoint] != "match" { // a sample of those is kept
			t.Errorf("%s is not stored", endpoint)
		}
	}
}
