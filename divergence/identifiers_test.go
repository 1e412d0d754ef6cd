package divergence

import (
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// TestIdentifiersAreComparedStoredAndJudgedAnew: what the map knows decides when an
// exchange is compared, and decides the same when it is judged from the store, where
// session tokens are redacted on both sides of their pair.
func TestIdentifiersAreComparedStoredAndJudgedAnew(t *testing.T) {
	t.Parallel()
	set, faults := ids.Compile([]ids.Config{
		{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("$.order_id")},
		{Name: "session", From: ids.At("POST /login $.token"), In: ids.At("$.token")},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	known := ids.NewMemory(ids.DefaultLimits, time.Now, func(string) {})
	paired := func(name, p, c string) {
		fact := ids.Fact{Ref: ids.Ref{Name: name, Leg: parallax.Primary, Value: p}, To: parallax.Candidate, State: ids.Paired, Partner: c}
		if err := known.Learn(t.Context(), fact); err != nil {
			t.Fatal(err)
		}
	}
	paired("order", "17", "9017")
	paired("order", "18", "9018")
	paired("session", "primary-session-1", "candidate-session-1")

	s := newStage(t)
	s.judge.IDs = &Identifiers{Set: set, Map: known}
	s.judge.Rules = s.judge.Rules.With("identifiers", set.Version())
	source := &listSource{failed: true}
	add := func(endpoint, primary, candidate string) *parallax.Exchange {
		x := pair(len(source.list)+1, endpoint, 200, 200)
		x.Legs[0], x.Legs[1] = answer(200, time.Millisecond, primary), answer(200, time.Millisecond, candidate)
		source.list = append(source.list, x)
		return x
	}
	add("GET /renamed", `{"order_id":17,"token":"primary-session-1"}`, `{"order_id":9017,"token":"candidate-session-1"}`)
	add("GET /wrong", `{"order_id":17}`, `{"order_id":9018}`)
	add("GET /same-text", `{"order_id":17}`, `{"order_id":17}`)
	add("GET /unknown", `{"order_id":40}`, `{"order_id":41}`)
	add("GET /asked-for-unknown", `{"a":1}`, `{"a":1}`).Unmapped = []string{"order"}
	want := map[string]string{
		"GET /renamed": "match", "GET /wrong": "diverged", "GET /same-text": "diverged",
		"GET /unknown": "not_comparable unmapped_identifier", "GET /asked-for-unknown": "not_comparable unmapped_identifier",
	}
	worker := NewWorker(WorkerConfig{Source: source, Recorder: s.rig.Recorder, Ledger: s.rig.ledger, Goroutines: 1, Log: quiet,
		Judge: func(string) *Judge { return s.judge }})
	if err := worker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.flush(t)

	list, err := s.store.Exchanges(t.Context(), "shop", ExchangeFilter{Window: Window{}})
	if err != nil || len(list) != len(want) {
		t.Fatalf("%d exchanges are stored: %v", len(list), err)
	}
	for _, x := range list {
		if got := strings.TrimSpace(x.Outcome + " " + x.Reason); got != want[x.Endpoint] {
			t.Errorf("%s: %s, want %s", x.Endpoint, got, want[x.Endpoint])
		}
		id, _ := parallax.ParseID(x.ID)
		d, err := s.store.Exchange(t.Context(), "shop", id)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range d.Identifiers {
			if strings.Contains(k.Primary+k.Value, "session-1") {
				t.Errorf("%s: a session is stored: %+v", x.Endpoint, k)
			}
		}
		if asked := x.Endpoint == "GET /asked-for-unknown"; asked != (len(d.Unmapped) == 1) {
			t.Errorf("%s: unmapped %v", x.Endpoint, d.Unmapped)
		}
		if x.Endpoint == "GET /renamed" && len(d.Identifiers) != 2 {
			t.Errorf("what was known: %+v", d.Identifiers)
		}
	}
	anew, err := s.Rejudge(t.Context(), "shop", nil, PairFilter{})
	if err != nil || anew.Pairs.Looked != len(want) || len(anew.Changes) != 0 {
		t.Errorf("judged anew: %+v, %v", anew, err)
	}
	other := *s.judge.Rules
	if without, _ := compare.Compile(nil); other.Hash("GET /wrong") == without.Hash("GET /wrong") {
		t.Error("evidence with and without identifiers is filed alike")
	}
}
