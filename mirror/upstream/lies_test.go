package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// liar is a resolver that answers with more than anybody wants, in another order
// each time.
type liar struct {
	records   []net.SRV
	addresses int // of each name
	lookups   atomic.Int64
}

func (l *liar) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	out := make([]*net.SRV, len(l.records))
	for n, k := range rand.Perm(len(out)) {
		out[n] = &l.records[k]
	}
	return "", out, nil
}

func (l *liar) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	l.lookups.Add(1)
	out := make([]netip.Addr, l.addresses)
	for n := range out {
		out[n] = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	rand.Shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	return out, nil
}

// lookedUp starts a set whose instances are found by a finder, and returns it after
// a minute.
func lookedUp(t *testing.T, f Finder, log *journal) *Set {
	t.Helper()
	target := Target{URL: &url.URL{Scheme: "http", Host: "shop.test"}, Find: f}
	s := New(Config{Targets: []Target{target}, Log: log.logger()})
	s.Start(t.Context())
	t.Cleanup(s.Close)
	time.Sleep(time.Minute)
	synctest.Wait()
	return s
}

// TestTooManyServiceRecords: which instances are left out does not depend on the
// order of records, and it is those of the higher priority.
func TestTooManyServiceRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, log := &liar{addresses: 1}, &journal{}
		for n := range 300 {
			record := net.SRV{Target: fmt.Sprintf("z%03d.test.", n), Port: 80, Weight: 1}
			if n >= 200 {
				record.Target, record.Priority = fmt.Sprintf("a%03d.test.", n), 10
			}
			r.records = append(r.records, record)
		}
		s := lookedUp(t, Services(r, "shop.test", time.Second), log)
		if s.Size() != MaxInstances || s.Ignored() != 300-MaxInstances {
			t.Errorf("%d instances and %d left out", s.Size(), s.Ignored())
		}
		first := 0
		for _, i := range s.list.Load().all {
			if i.priority == 0 {
				first++
			}
		}
		if first != 200 {
			t.Errorf("%d of the 200 instances that are used first are left", first)
		}
		if n := log.count("instance gone"); n != 0 {
			t.Errorf("%d instances went, though the records are the same", n)
		}
	})
}

func TestManyAddressesOfManyRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, log := &liar{addresses: 3000}, &journal{}
		for n := range 300 {
			r.records = append(r.records, net.SRV{Target: fmt.Sprintf("%03d.test.", n), Port: 80})
		}
		s := lookedUp(t, Services(r, "shop.test", time.Hour), log)
		if n := r.lookups.Load(); n != 2 {
			t.Errorf("%d names were looked up, want two: they have more than enough", n)
		}
		if s.Size() != MaxInstances || s.Ignored() != 2*3000+298-MaxInstances {
			t.Errorf("%d instances and %d left out", s.Size(), s.Ignored())
		}
	})
}

// catalogue is a Catalog that tests write.
type catalogue struct {
	asked  int
	answer func(ctx context.Context, index uint64) ([]Address, uint64, error)
}

func (c *catalogue) Passing(ctx context.Context, _, _ string, index uint64) ([]Address, uint64, error) {
	c.asked++
	return c.answer(ctx, index)
}

func TestCatalogueThatLies(t *testing.T) {
	t.Parallel()
	one := []Address{{Name: "10.0.0.1:80"}}
	f := func(what string, most int, want []string, answer func(ctx context.Context, index uint64) ([]Address, uint64, error)) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &catalogue{answer: answer}
				s := lookedUp(t, Catalogued(c, "", "shop"), &journal{})
				if c.asked > most {
					t.Errorf("it was asked %d times in a minute, want %d at most", c.asked, most)
				}
				if diff := cmp.Diff(want, names(s)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
	f("it fails at once", 12, nil, func(context.Context, uint64) ([]Address, uint64, error) { return nil, 0, errors.New("no leader") })
	f("it does not wait", 301, []string{"http://10.0.0.1:80"}, func(_ context.Context, index uint64) ([]Address, uint64, error) { return one, 7, nil })
	f("its index falls", 601, []string{"http://10.0.0.1:80"}, func(_ context.Context, index uint64) ([]Address, uint64, error) { return one, max(1000-index, 1), nil })
	f("it hangs", 1, nil, func(ctx context.Context, _ uint64) ([]Address, uint64, error) {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	})
}

// TestNobodyForLong: after a long time in which nobody was found, who is found is
// used soon.
func TestNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var there atomic.Bool
		c := &catalogue{answer: func(ctx context.Context, index uint64) ([]Address, uint64, error) {
			if there.Load() {
				return []Address{{Name: "10.0.0.1:80"}}, 8, nil
			}
			return nil, 7, nil
		}}
		log := &journal{}
		s := lookedUp(t, Catalogued(c, "", "shop"), log)
		time.Sleep(time.Hour)
		there.Store(true)
		time.Sleep(2 * time.Second)
		if s.Size() != 1 {
			t.Error("an instance that came two seconds ago is not used")
		}
		if n := log.count("cannot find instances"); n != 1 {
			t.Errorf("it was logged %d times that there is nobody, want once", n)
		}
	})
}

// TestPickWhileEverythingChanges lets instances come, go, fail and recover under
// requests of every kind. Nothing may be lost on the way.
func TestPickWhileEverythingChanges(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{RoundRobin, LeastInFlight, Weighted, Hash} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			found := make(script)
			target := targets(1)[0]
			target.Find, target.StandIn = found, true
			var checks atomic.Int64
			s := New(Config{
				Targets: append(targets(3, 2, 1), target), Policy: policy,
				Eject:  Eject{Failures: 1, For: time.Microsecond, MaxFor: time.Microsecond, MaxShare: 1},
				Health: Health{Interval: 10 * time.Microsecond, Timeout: time.Second, Healthy: 1, Unhealthy: 1},
				Check: func(context.Context, *Instance) error {
					if checks.Add(1)%3 == 0 {
						return errors.New("down")
					}
					return nil
				},
				Gone: func(*Instance) {},
			})
			go func() { found <- []Address{{Name: "10.0.1.0:80"}} }()
			s.Start(t.Context())
			var all sync.WaitGroup
			for n := range 4 {
				all.Go(func() {
					for k := range 3000 {
						i := s.Pick(uint64(k), nil)
						if i == nil {
							t.Error("there is no instance")
							return
						}
						if other := s.Pick(uint64(k), i); other != nil {
							other.Done(Outcome(k % 3))
						}
						i.Done(Outcome((n + k) % 3))
						if k%100 == 0 {
							s.Status()
						}
					}
				})
			}
			for n := range 100 {
				var some []Address
				for k := range n%5 + 1 {
					some = append(some, Address{Name: fmt.Sprintf("10.0.1.%d:80", (n+k)%8), Weight: n, Priority: n % 2})
				}
				found <- some
			}
			all.Wait()
			for _, i := range s.Status() {
				if i.InFlight != 0 {
					t.Errorf("%s has %d requests under way, though all are over", i.Name, i.InFlight)
				}
			}
			s.Close()
		})
	}
}
