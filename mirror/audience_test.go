package mirror

import (
	"crypto/sha256"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"parallax/mirror/split"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func splitterOf(t testing.TB, c split.Config) *split.Splitter {
	t.Helper()
	s, faults := split.New(c)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return s
}

// seeUser is see with a hash as of [Mirror.nameOf].
func (a *audience) seeUser(s *split.Splitter, user string, now time.Time) {
	sum := sha256.Sum256([]byte(user))
	a.see(s, user, sum[0], now)
}

// TestAudienceIsAboutTheUsersBelowTheStep against counting them one by one.
func TestAudienceIsAboutTheUsersBelowTheStep(t *testing.T) {
	t.Parallel()
	s := splitterOf(t, split.Config{Key: "header:X-User", Salt: "shop"})
	a, buckets, seen := newAudience(noon), [split.Buckets + 1]int{}, 0
	for _, users := range []int{0, 1, 30, 1000, 200_000} {
		for ; seen < users; seen++ {
			user := fmt.Sprint("user-", seen)
			a.seeUser(s, user, noon)
			a.seeUser(s, user, noon) // twice is once
			buckets[split.Bucket("shop", user)]++
		}
		for _, step := range []int{0, 1, 100, 2500, 10000} {
			want := 0
			for _, n := range buckets[:step] {
				want += n
			}
			got := a.at(step, noon)
			// five standard deviations of linear counting, and rounding
			off := func(n, buckets int) float64 {
				m := float64(64 * buckets)
				t := float64(n) / max(m, 1)
				return 5*math.Sqrt(m*(math.Exp(t)-t-1)) + 1
			}
			if math.Abs(float64(got.WouldMeet-want)) > off(want, step) || math.Abs(float64(got.Seen-users)) > off(users, split.Buckets) {
				t.Errorf("%d users, step %d: %d of %d would meet the candidate, want %d", users, step, got.WouldMeet, got.Seen, want)
			}
			if got.WouldMeet > got.Seen || got.More {
				t.Errorf("%d users, step %d: %+v", users, step, got)
			}
		}
	}
}

func TestAudienceKnowsOneSpellToTwo(t *testing.T) {
	t.Parallel()
	s := splitterOf(t, split.Config{Key: "header:X-User", Pin: map[string]string{"staff": "candidate"}})
	a := newAudience(noon)
	f := func(after time.Duration, user string, want Audience) {
		t.Helper()
		at := noon.Add(after)
		a.seeUser(s, user, at)
		if got := a.at(10000, at); got != want {
			t.Errorf("after %v: %+v, want %+v", after, got, want)
		}
	}
	f(0, "ann", Audience{Since: noon, Seen: 1, WouldMeet: 1})
	f(0, "", Audience{Since: noon, Seen: 1, WouldMeet: 1, Unknown: 1})
	f(0, "staff", Audience{Since: noon, Seen: 1, WouldMeet: 1, Unknown: 1})
	f(spell-1, "bob", Audience{Since: noon, Seen: 2, WouldMeet: 2, Unknown: 1})
	f(spell, "bob", Audience{Since: noon, Seen: 2, WouldMeet: 2, Unknown: 1})
	f(2*spell-1, "", Audience{Since: noon, Seen: 2, WouldMeet: 2, Unknown: 2})
	f(2*spell, "", Audience{Since: noon.Add(spell), Seen: 1, WouldMeet: 1, Unknown: 2}) // ann has gone
	f(4*spell, "", Audience{Since: noon.Add(4 * spell), Unknown: 1})                    // nobody was here for long
	f(3*spell, "", Audience{Since: noon.Add(4 * spell), Unknown: 2})                    // the clock was set back
}

func TestAudienceThatIsFullIsALowerBound(t *testing.T) {
	t.Parallel()
	a := newAudience(noon)
	for i := range a.now.Load().bits {
		a.now.Load().bits[i].Store(math.MaxUint64)
	}
	if got := a.at(100, noon); !got.More || got.WouldMeet < 6400 || got.Seen < 640_000 || got.WouldMeet > got.Seen {
		t.Errorf("%+v", got)
	}
}

// TestAudienceIsSeenByManyAtOnce for the race detector, while the spell ends.
func TestAudienceIsSeenByManyAtOnce(t *testing.T) {
	t.Parallel()
	s, a := splitterOf(t, split.Config{Key: "header:X-User"}), newAudience(noon)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				a.seeUser(s, fmt.Sprint(g, "-", i), noon.Add(time.Duration(i)*spell/500))
				a.at(2500, noon)
			}
		})
	}
	wg.Wait()
	last := noon.Add(999 * spell / 500)
	if got := a.at(10000, last); got.Seen < 3900 || got.Seen > 8100 { // those of the last spell at least
		t.Errorf("%+v", got)
	}
}

// BenchmarkAudience is what a request pays.
func BenchmarkAudience(b *testing.B) {
	s, a := splitterOf(b, split.Config{Key: "header:X-User", Salt: "shop"}), newAudience(noon)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.see(s, "user-4711", 17, noon)
		}
	})
}
