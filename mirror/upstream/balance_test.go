package upstream

import (
	"fmt"
	"math"
	"net/url"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func targets(weights ...int) []Target {
	out := make([]Target, len(weights))
	for n, w := range weights {
		out[n] = Target{URL: &url.URL{Scheme: "http", Host: fmt.Sprintf("10.0.0.%d:80", n+1)}, Weight: w}
	}
	return out
}

// shares picks n times, each with a key of its own, and returns how often each
// instance came.
func shares(s *Set, n int) map[string]int {
	out := map[string]int{}
	for k := range n {
		i := s.Pick(KeyOf(fmt.Sprint("user-", k)), nil)
		out[i.URL().Host]++
		i.Done(Answered)
	}
	return out
}

func TestShares(t *testing.T) {
	t.Parallel()
	f := func(policy Policy, n int, weights []int, tolerance float64) {
		t.Helper()
		got := shares(New(Config{Targets: targets(weights...), Policy: policy}), n)
		total := 0
		for _, w := range weights {
			total += w
		}
		for k, w := range weights {
			want := float64(n) * float64(w) / float64(total)
			if have := float64(got[fmt.Sprintf("10.0.0.%d:80", k+1)]); math.Abs(have-want) > tolerance {
				t.Errorf("%s %v: instance %d got %v of %d, want %v", policy, weights, k+1, have, n, want)
			}
		}
	}
	f(RoundRobin, 300, []int{1, 1, 1}, 0)
	f("", 300, []int{1, 1, 1}, 0)
	f(Weighted, 1000, []int{1, 1}, 2)
	f(Weighted, 1000, []int{5, 3, 2}, 3)
	f(Weighted, 10_000, []int{1, 1000}, 3)
	f(LeastInFlight, 300, []int{1, 1, 1}, 1) // all are idle: in turn
	f(Hash, 30_000, []int{1, 1, 1}, 300)
}

func TestLeastInFlightAvoidsTheBusy(t *testing.T) {
	t.Parallel()
	s := New(Config{Targets: targets(1, 1, 1), Policy: LeastInFlight})
	busy := s.Pick(0, nil) // and never done
	for range 100 {
		if i := s.Pick(0, nil); i == busy {
			t.Fatal("the busy instance got a request beside two idle ones")
		} else {
			i.Done(Answered)
		}
	}
	// As many to each when none ever ends.
	for range 299 {
		s.Pick(0, nil)
	}
	for _, i := range s.Status() {
		if i.InFlight != 100 {
			t.Errorf("%s has %d requests under way, want 100", i.Name, i.InFlight)
		}
	}
}

// TestHashIsMonotone takes an instance out and puts it back: only the keys of
// that instance move.
func TestHashIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "instances")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		salt := rapid.String().Draw(t, "salt")
		all := targets(make([]int, n)...)
		without := append(append([]Target{}, all[:gone]...), all[gone+1:]...)
		before, after := New(Config{Targets: all, Policy: Hash}), New(Config{Targets: without, Policy: Hash})
		for k := range 200 {
			key := KeyOf(fmt.Sprint(salt, k))
			was, is := before.Pick(key, nil), after.Pick(key, nil)
			if was.URL().Host != all[gone].URL.Host && was.String() != is.String() {
				t.Fatalf("key %d moved from %s to %s when %s went", k, was, is, all[gone].URL.Host)
			}
			if again := before.Pick(key, nil); again != was {
				t.Fatalf("key %d goes to %s and to %s", k, was, again)
			}
		}
	})
}

func TestPickAnother(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{RoundRobin, LeastInFlight, Weighted, Hash} {
		s := New(Config{Targets: targets(1, 1, 1), Policy: policy})
		first := s.Pick(7, nil)
		second := s.Pick(7, first)
		if second == nil || second == first {
			t.Fatalf("%s: got %v besides %v", policy, second, first)
		}
		first.Done(Failed)
		second.Done(Failed)
		if third := s.Pick(7, second); third == first || third == second {
			t.Errorf("%s: got %v, which has failed, and not the one that has not", policy, third)
		}
		alone := New(Config{Targets: targets(1), Policy: policy})
		if other := alone.Pick(7, alone.Pick(7, nil)); other != nil {
			t.Errorf("%s: got %v besides the only one", policy, other)
		}
		if none := New(Config{Policy: policy}).Pick(7, nil); none != nil {
			t.Errorf("%s: got %v of none", policy, none)
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, policy := range []Policy{RoundRobin, LeastInFlight, Weighted, Hash} {
		s := New(Config{Targets: targets(1, 2, 3), Policy: policy})
		if n := testing.AllocsPerRun(100, func() { s.Pick(KeyOf("user-1"), nil).Done(Answered) }); n != 0 {
			t.Errorf("%s: %v allocations", policy, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, policy := range []Policy{RoundRobin, LeastInFlight, Weighted, Hash} {
		for _, n := range []int{1, 3, 32, 256} {
			s := New(Config{Targets: targets(make([]int, n)...), Policy: policy})
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.Pick(0xfeed, nil).Done(Answered)
				}
			})
		}
	}
}
