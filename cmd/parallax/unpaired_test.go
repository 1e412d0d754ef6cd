package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/mirror"
	"parallax/reports"
)

// took is so many times in one bucket.
func took(d time.Duration, n uint64) (out mirror.Times) {
	out[mirror.TimeBucket(d)] = n
	return out
}

func plus(all ...mirror.Times) (out mirror.Times) {
	for _, t := range all {
		for i, n := range t {
			out[i] += n
		}
	}
	return out
}

// TestWhatIsSlowIsToldByWhatThePrimaryTookBefore: not by the times that are judged, and not
// before there are enough of them.
func TestWhatIsSlowIsToldByWhatThePrimaryTookBefore(t *testing.T) {
	t.Parallel()
	e := &livedEndpoint{}
	slower := divergence.Slower{Ratio: 1.1, Plus: 2 * time.Millisecond}
	sight := func(primary, candidate, failed uint64) reports.Sight {
		return reports.Sight{Primary: reports.Tally{N: primary}, Candidate: reports.Tally{N: candidate, Failed: failed}}
	}
	p, c := took(10*time.Millisecond, 19), took(30*time.Millisecond, 3)
	want := func(name string, got, want divergence.Live) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want("at first", e.next(sight(19, 3, 1), [2]mirror.Times{p, c}, slower), divergence.Live{Primary: divergence.Lived{N: 19}, Candidate: divergence.Lived{N: 3, Failed: 1}})
	p = plus(p, took(10*time.Millisecond, 1))
	want("19 are not enough", e.next(sight(1, 0, 0), [2]mirror.Times{p, c}, slower), divergence.Live{Primary: divergence.Lived{N: 1}})
	p, c = plus(p, took(10*time.Millisecond, 8), took(40*time.Millisecond, 2)), plus(c, took(12*time.Millisecond, 5), took(30*time.Millisecond, 4))
	want("against a median of 10 ms", e.next(sight(10, 9, 0), [2]mirror.Times{p, c}, slower), divergence.Live{
		Primary: divergence.Lived{N: 10, Timed: 10, Slow: 2}, Candidate: divergence.Lived{N: 9, Timed: 9, Slow: 4},
	})
	want("nothing new", e.next(sight(0, 0, 0), [2]mirror.Times{p, c}, slower), divergence.Live{})
}

// TestOldTimesFade: the median follows the primary, and what is kept stays bounded.
func TestOldTimesFade(t *testing.T) {
	t.Parallel()
	var r recentTimes
	for range 100 {
		r.add(took(10*time.Millisecond, 100))
	}
	for range 40 {
		r.add(took(100*time.Millisecond, 100))
	}
	if got, ok := r.median(); !ok || got < 100*time.Millisecond || got > 120*time.Millisecond || r.sum > manyTimes {
		t.Errorf("%v, %v, of %v", got, ok, r.sum)
	}
	if _, ok := new(recentTimes).median(); ok {
		t.Error("there is a median of nothing")
	}
}

// TestEndpointsWithPairsAreNotCountedUnpaired: one shadow that was asked is enough.
func TestEndpointsWithPairsAreNotCountedUnpaired(t *testing.T) {
	t.Parallel()
	got := unmirrored([]mirror.Seen{
		{Endpoint: "GET /a", Leg: parallax.Primary, Live: true}, {Endpoint: "POST /a", Leg: parallax.Primary, Live: true},
		{Endpoint: "GET /a", Leg: parallax.Candidate}, {Endpoint: "POST /a", Leg: parallax.Candidate, Live: true},
	})
	if len(got) != 2 || got[0].Endpoint != "POST /a" || got[1].Endpoint != "POST /a" {
		t.Errorf("%+v", got)
	}
}

// TestWhatCallersGetOfALiveCandidateIsStored: writes on a shared database are never mirrored,
// and what they came to on either leg is in the ticks, by endpoint; reads have pairs.
func TestWhatCallersGetOfALiveCandidateIsStored(t *testing.T) {
	t.Parallel()
	answers := func(status int) string {
		back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.WriteHeader(status)
			}
		}))
		t.Cleanup(back.Close)
		return back.URL
	}
	address := freeAddress(t)
	p := rig.Start(t, fmt.Sprintf("store: { listen: %q }\n", address)+strings.Replace(shopConfig(answers(201), answers(503), `
  split: { key: "header:X-User", pin: { ann: candidate } }
`), "state: own, outbound: none, jobs: off", "state: shared", 1))
	send := func(method, user string, want, times int) {
		for range times {
			request, err := http.NewRequestWithContext(t.Context(), method, p.Services["shop"]+map[string]string{"POST": "/orders", "GET": "/orders/1"}[method], nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-User", user)
			answer, err := http.DefaultClient.Do(request)
			if err != nil || answer.StatusCode != want {
				t.Fatalf("%s of %s: %v, %v", method, user, answer, err)
			}
			answer.Body.Close()
		}
	}
	send("POST", "bob", 201, 30)
	send("POST", "ann", 503, 5)
	send("POST", "bob", 201, 4)
	send("GET", "ann", 200, 3)
	query := "SELECT endpoint, sumForEach(live_primary)[2], sumForEach(live_candidate)[1], sumForEach(live_candidate)[2] FROM ticks WHERE notEmpty(live_candidate) GROUP BY endpoint"
	rig.Eventually(t, "what callers got", func() error {
		answer, err := http.Get("http://" + address + "/?query=" + url.QueryEscape(query))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); strings.TrimSpace(string(text)) != "POST /orders\t0\t5\t5" {
			return fmt.Errorf("%s %s", answer.Status, text)
		}
		return nil
	})
}
