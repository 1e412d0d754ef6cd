package divergence

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"parallax"
	"parallax/compare"
)

// asking is an exchange of somebody who asks something.
func asking(target string, headers ...parallax.Field) *parallax.Exchange {
	x := &parallax.Exchange{Service: "shop", Endpoint: "GET /x"}
	x.Legs[parallax.Primary] = &parallax.Call{Request: parallax.Request{Method: "GET", Target: target, Headers: headers}}
	return x
}

// counted returns how many of n exchanges count.
func counted(h *hotRequests, n int, share float64, next func(int) *parallax.Exchange) (count int) {
	for i := range n {
		if h.counts(next(i), tickKey{}, share) {
			count++
		}
	}
	return count
}

func TestOneRequestIsNoEvidence(t *testing.T) {
	t.Parallel()
	f := func(name string, share float64, next func(int) *parallax.Exchange, least, most int) {
		t.Helper()
		if got := counted(newHotRequests(), 10_000, share, next); got < least || got > most {
			t.Errorf("%s: %d of 10 000 count, want %d to %d", name, got, least, most)
		}
	}
	same := func(int) *parallax.Exchange { return asking("/x") }
	f("one request", 0.01, same, everyRequest, everyRequest)
	f("one request, which is all there is", 1, same, 10_000, 10_000)
	f("50 requests", 0.01, func(i int) *parallax.Exchange { return asking(fmt.Sprint("/x?", i%50)) }, 50*everyRequest, 50*everyRequest)
	f("200 requests", 0.01, func(i int) *parallax.Exchange { return asking(fmt.Sprint("/x?", i%200)) }, 10_000, 10_000)
	f("each another one", 0.01, func(i int) *parallax.Exchange { return asking(fmt.Sprint("/x?", i)) }, 10_000, 10_000)
	f("one request of many callers", 0.01, func(i int) *parallax.Exchange {
		return asking("/x", parallax.Field{Name: "authorization", Value: fmt.Sprint("Bearer ", i)})
	}, 10_000, 10_000)
	f("many headers that name nobody", 0.01, func(i int) *parallax.Exchange {
		return asking("/x", parallax.Field{Name: "X-Request-Id", Value: fmt.Sprint(i)})
	}, everyRequest, everyRequest)
	f("many bodies", 0.01, func(i int) *parallax.Exchange {
		x := asking("/x")
		x.Legs[parallax.Primary].Request.Body.Bytes = fmt.Append(nil, i)
		return x
	}, 10_000, 10_000)
	// Every other request is the same one: of these, about one in a hundred counts.
	f("one hot request among others", 0.01, func(i int) *parallax.Exchange { return asking(fmt.Sprint("/x?", i*(i%2))) }, 5_000+everyRequest, 5_000+120)
}

// TestHotRequestsAreBounded: no more is remembered of an endpoint, and of endpoints, than is
// said, and what is hot among a million of others is found.
func TestHotRequestsAreBounded(t *testing.T) {
	t.Parallel()
	h, r := newHotRequests(), rand.New(rand.NewPCG(51, 52))
	hot := 0
	for i := range 1_000_000 {
		if i%10 > 0 {
			h.counts(asking(fmt.Sprint("/x?", r.Uint64())), tickKey{}, 0.01)
		} else if h.counts(asking("/x"), tickKey{}, 0.01) {
			hot++
		}
	}
	e := h.known[tickKey{}]
	if len(e.requests) > hotCounters {
		t.Errorf("%d requests are counted", len(e.requests))
	}
	if share := float64(hot) / float64(e.n); share > 0.01+2.0/hotCounters {
		t.Errorf("a request of which a tenth of all were makes up %v of what counts", share)
	}
	for i := range 2 * maxEntries {
		h.counts(asking("/x"), tickKey{endpoint: fmt.Sprint(i)}, 0.01)
	}
	if len(h.known) > maxEntries {
		t.Errorf("%d endpoints are known", len(h.known))
	}
}

// TestEvidenceIsCountedApart: other rules, another policy or version are other evidence.
func TestEvidenceIsCountedApart(t *testing.T) {
	t.Parallel()
	h := newHotRequests()
	for _, key := range []tickKey{{rules: "a"}, {rules: "b"}, {policy: "b"}, {candidate: "2"}} {
		count := 0
		for range 100 {
			if h.counts(asking("/x"), key, 0.01) {
				count++
			}
		}
		if count != everyRequest {
			t.Errorf("%+v: %d count, want %d", key, count, everyRequest)
		}
	}
}

// TestTicksTellWhatRepeatsCameTo: beside the evidence, and kept with it.
func TestTicksTellWhatRepeatsCameTo(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "repeats", s, s, Limits{})
	record := func(seq int, c compare.Comparison, repeated bool) {
		x := pair(seq, "GET /a", 200, 200)
		x.Service = "repeats"
		r.ledger.Enter(x.Stamp())
		r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InWorker)
		rec := newRecord(x, c, nil, nil)
		rec.repeated = repeated
		r.add(rec)
	}
	record(1, compare.Comparison{Outcome: compare.Match}, false)
	record(2, compare.Comparison{Outcome: compare.Match}, true)
	record(3, compare.Comparison{Outcome: compare.Diverged}, true)
	record(4, compare.Comparison{Outcome: compare.Diverged, CandidateFailed: true}, true)
	record(5, compare.Comparison{Outcome: compare.Diverged, CandidateFailed: true, PrimaryFailed: true}, true)
	r.mustFlush(t)
	ticks, err := s.Ticks(t.Context(), "repeats", Cursor{}, 0)
	if err != nil || len(ticks) != 1 {
		t.Fatalf("%+v, %v", ticks, err)
	}
	got := ticks[0]
	if got.N != 1 || got.K != 0 || got.B != 0 || got.Repeated != 4 || got.RepeatedK != 3 || got.RepeatedB != 1 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkHotRequests(b *testing.B) {
	h := newHotRequests()
	targets := make([]*parallax.Exchange, 4096)
	for i := range targets {
		targets[i] = asking(fmt.Sprint("/x?", i), parallax.Field{Name: "Accept", Value: "*/*"}, parallax.Field{Name: "Authorization", Value: "Bearer abcdefgh"})
	}
	for i := 0; b.Loop(); i++ {
		h.counts(targets[i%len(targets)], tickKey{service: "shop", endpoint: "GET /x", rules: "aaaabbbbcccc", policy: "ddddeeeeffff"}, 0.01)
	}
}
