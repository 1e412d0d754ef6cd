//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	f := func(sorted []int, q float64, want int) {
		t.Helper()
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile(%v, %v) = %d, want %d", sorted, q, got, want)
		}
	}
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	f(nil, 0.5, 0)
	f([]int{7}, 0, 7)
	f([]int{7}, 1, 7)
	f([]int{1, 2}, 0.5, 1)
	f([]int{1, 2, 3}, 0.5, 2)
	f(hundred, 0.5, 50)
	f(hundred, 0.99, 99)
	f(hundred, 0.991, 100)
	f(hundred, 1, 100)
}

func TestMedian(t *testing.T) {
	t.Parallel()
	f := func(want float64, values ...float64) {
		t.Helper()
		before := append([]float64(nil), values...)
		if got := median(values); got != want {
			t.Errorf("median(%v) = %v, want %v", values, got, want)
		}
		if diff := cmp.Diff(before, values); diff != "" {
			t.Errorf("median changed its argument:\n%s", diff)
		}
	}
	f(3, 3)
	f(2, 3, 1)
	f(2, 3, 1, 2)
	f(2.5, 4, 1, 3, 2)
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

// TestRatiosAreTakenWithinARound has one slow round: it moves both figures and
// leaves their ratio alone, which a ratio of medians would not show.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	t.Parallel()
	self := func(v float64) float64 { return v }
	if got := medianRatio([]float64{20, 2, 22}, []float64{10, 1, 10}, self); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := medianRatio([]float64{1}, nil, self); !math.IsNaN(got) {
		t.Errorf("without a round in common: got %v, want NaN", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := newTable("", "requests/s", "p50")
	table.add("nginx", "12 345", "0.50")
	table.add("a µ-proxy", "7")
	want := strings.TrimPrefix(`
|           | requests/s |  p50 |
| --------- | ---------: | ---: |
| nginx     |     12 345 | 0.50 |
| a µ-proxy |          7 |      |
`, "\n")
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Error(diff)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(figure(0.1234), "0.12")
	f(figure(12.34), "12.3")
	f(figure(999.4), "999")
	f(figure(1000), "1 000")
	f(figure(-1234.5), "-1 234")
	f(figure(999.6), "1 000")
	f(figure(1234567), "1 234 567")
	f(figure(math.NaN()), "-")
	f(figure(math.Inf(1)), "-")
	f(count(0), "0")
	f(count(64), "64")
	f(count(10159), "10 159")
	f(count(math.NaN()), "-")
	f(times(1.5), "1.50x")
	f(times(math.NaN()), "-")
	f(percent(0.0123), "1.23 %")
	f(percent(math.NaN()), "-")
}

func TestBound(t *testing.T) {
	t.Parallel()
	f := func(b bound, value, limit float64, want bool) {
		t.Helper()
		if got := b.holds(value, limit); got != want {
			t.Errorf("%v %s %v: %t, want %t", value, b, limit, got, want)
		}
	}
	f(atLeast, 1.5, 1.5, true)
	f(atLeast, 1.49, 1.5, false)
	f(atMost, 0.7, 0.7, true)
	f(atMost, 0.71, 0.7, false)
	f(atMost, math.NaN(), 1, false)
	f(atLeast, math.NaN(), 1, false)
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := newSchedule(start, 2000, 5*time.Second)
	if s.total != 10_000 {
		t.Errorf("total = %d, want 10000", s.total)
	}
	if got, want := s.due(3), start.Add(1500*time.Microsecond); !got.Equal(want) {
		t.Errorf("the fourth is due at %v, want %v", got, want)
	}
	if got, want := s.end(), start.Add(5*time.Second); !got.Equal(want) {
		t.Errorf("end = %v, want %v", got, want)
	}
}

// TestScheduleSkipsNothing starts late: all that is overdue is sent at once, with
// the time when it was due.
func TestScheduleSkipsNothing(t *testing.T) {
	t.Parallel()
	s := newSchedule(time.Now().Add(-time.Hour), 1000, time.Second)
	var got []time.Time
	s.run(context.Background(), func(k int, due time.Time) {
		if k != len(got) {
			t.Fatalf("number %d came after %d", k, len(got)-1)
		}
		got = append(got, due)
	})
	if len(got) != 1000 || !got[999].Equal(s.due(999)) {
		t.Errorf("%d were sent, the last was due at %v; want 1000 and %v", len(got), got[len(got)-1], s.due(999))
	}
}

func TestScheduleNeverEarlyAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := newSchedule(time.Now(), 100, time.Hour)
	sent := 0
	s.run(ctx, func(k int, due time.Time) {
		sent++
		if early := time.Until(due); early > 0 {
			t.Errorf("number %d was sent %v early", k, early)
		}
		if k == 4 {
			cancel()
		}
	})
	if sent != 5 {
		t.Errorf("%d were sent, want 5", sent)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat("4242 (a) b (c) S 17 4200 17 0 -1 4194304 1 2 3 4 250 150 9 9 20 0 1 0 77 0 0\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (stat{pid: 4242, parent: 17, group: 4200, cpu: 4 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, text := range []string{"", "1 (x", "1 (x) S 1 2", ") ("} {
		if _, err := parseStat(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestResident(t *testing.T) {
	t.Parallel()
	if got := resident([]byte("Name:\tx\nVmPeak:\t 9 kB\nVmRSS:\t    2048 kB\nRssAnon:\t1 kB\n")); got != 2<<20 {
		t.Errorf("got %d, want 2 MB", got)
	}
	if got := resident([]byte("Name:\tkthreadd\n")); got != 0 {
		t.Errorf("without the line: got %d, want 0", got)
	}
}

func TestBusyLeavesIdleAndWaitingOut(t *testing.T) {
	t.Parallel()
	got, err := busy("cpu  100 10 50 9000 800 1 2 37 5 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v; want 2s", got, err)
	}
	if _, err := busy("intr 1 2 3"); err == nil {
		t.Error("a file without processors was read")
	}
}

func TestParseWrk(t *testing.T) {
	t.Parallel()
	got, err := parseWrk([]byte("Running 2s test\n  12 requests\nbench: {\"requests\":12,\"duration\":2000000,\"p50\":500,\"p99\":900,\"errors\":1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wrkResult{Requests: 12, Duration: 2e6, P50: 500, P99: 900, Errors: 1}, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "unable to connect", "bench: {", `bench: {"requests":0,"duration":5}`} {
		if _, err := parseWrk([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestSharesAreThoseSinceTheEarlierAccounting(t *testing.T) {
	t.Parallel()
	before := accounting{Received: 1000, Unmirrored: map[string]int64{"unsafe": 5}, Lost: map[string]int64{"queue_full": 100}}
	after := accounting{Received: 1200, Unmirrored: map[string]int64{"unsafe": 5, "concurrency": 20}, Lost: map[string]int64{"queue_full": 102, "store": 1}}
	want := kept{received: 200, unmirrored: 0.1, lost: 0.015, why: "concurrency 10.00 %, queue_full 1.00 %, store 0.50 %"}
	if diff := cmp.Diff(want, after.since(before), cmp.AllowUnexported(kept{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(kept{}, before.since(before), cmp.AllowUnexported(kept{})); diff != "" {
		t.Errorf("nothing came in:\n%s", diff)
	}
}

func TestMirrorOptions(t *testing.T) {
	t.Parallel()
	if got := (mirrorOptions{}).String(); got != "" {
		t.Errorf("got %q, want nothing: the product's defaults", got)
	}
	if got, want := (mirrorOptions{inFlight: 4096, maxBody: "32MiB"}).String(), ", in_flight: 4096, max_body: 32MiB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadRequest(t *testing.T) {
	t.Parallel()
	f := func(head string, want request) {
		t.Helper()
		got, err := readRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", head, got, err, want)
		}
	}
	f("GET /items/1 HTTP/1.1\r\nHost: x\r\n\r\n", request{path: "/items/1"})
	f("POST /items HTTP/1.1\r\nHost: x\r\ncontent-length: 12\r\nCookie: a=b\r\n\r\n", request{path: "/items", length: 12})
	f("POST /items HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", request{path: "/items", chunked: true, expects: true})
	for _, head := range []string{"", "GET\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"} {
		if _, err := readRequest(bufio.NewReader(strings.NewReader(head))); err == nil {
			t.Errorf("%q was read", head)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-part", "faults,uploads", "-rounds", "1", "-duration", "2s", "-parallax", "a,b"}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"faults", "uploads"}, o.parts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, o.binaries); diff != "" {
		t.Error(diff)
	}
	if o.rounds != 1 || o.duration != 2*time.Second || o.warmup != 2*time.Second {
		t.Errorf("got %+v", o)
	}
	for _, args := range [][]string{{"-part", "everything"}, {"-rounds", "0"}, {"-duration", "10ms"}, {"-connections", "1"}, {"more"}, {"-nonsense"}} {
		if _, err := parseOptions(args, new(bytes.Buffer)); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestSumOf(t *testing.T) {
	t.Parallel()
	const text = "# TYPE parallax_in_flight gauge\nparallax_in_flight{place=\"queue\",service=\"a}\"} 3\nparallax_in_flight{place=\"batch\",service=\"b\"} 1.5e+03\nparallax_in_flight_other{a=\"b\"} 7\n"
	if got, err := sumOf(text, "parallax_in_flight"); got != 1503 || err != nil {
		t.Errorf("got %v, %v, want 1503", got, err)
	}
	for _, broken := range []string{"", "parallax_in_flight{a=\"b\"} x\n"} {
		if got, err := sumOf(broken, "parallax_in_flight"); err == nil {
			t.Errorf("%q: got %v, want an error", broken, got)
		}
	}
}
