package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease is held by one process at a time: the one whose policy raises steps. Whoever holds it
// says so to Redis every few seconds. It is not held any more, as far as this process may go by
// it, when a lease that was said [leaseFor] ago is over by the clock of this process, which began
// to count before Redis did. A process that stood still meanwhile finds out from Redis: what is
// raised under a lease is refused there unless the lease is still this process's (the fence).
type Lease struct {
	store *Store
	key   string
	until atomic.Int64 // of holding it, in nanoseconds since began; 0: it is not held
	began time.Time    // its monotonic clock counts
}

const (
	leaseFor   = 10 * time.Second
	leaseEvery = 2 * time.Second
)

// Lease returns the lease of an installation. It is not held before [Lease.Run].
func (s *Store) Lease() *Lease {
	return &Lease{store: s, key: s.cfg.Prefix + "lease of the policy", began: time.Now()}
}

// leaseScript takes a lease that is free, or holds on to one's own. ARGV: who, for how long in
// milliseconds; 0 gives it back. It returns who has it.
var leaseScript = redis.NewScript(`
local has = redis.call('GET', KEYS[1])
if has and has ~= ARGV[1] then return has end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return ''
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`)

// Run takes the lease whenever it is free and holds on to it until the context ends, when it
// gives it back. It returns nil.
func (l *Lease) Run(ctx context.Context) error {
	again := time.NewTicker(leaseEvery)
	defer again.Stop()
	for {
		l.take(ctx)
		select {
		case <-ctx.Done():
			l.until.Store(0)
			l.ask(context.WithoutCancel(ctx), 0)
			return nil
		case <-again.C:
		}
	}
}

// take asks for the lease once. Without an answer what was said before holds.
func (l *Lease) take(ctx context.Context) {
	asked := time.Since(l.began)
	who, err := l.ask(ctx, leaseFor)
	switch {
	case err != nil:
	case who == l.store.name:
		l.until.Store(int64(asked + leaseFor))
	default:
		l.until.Store(0)
	}
}

func (l *Lease) ask(ctx context.Context, hold time.Duration) (who string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.store.cfg.Timeout)
	defer cancel()
	who, err = leaseScript.Run(ctx, l.store.client, []string{l.key}, l.store.name, hold.Milliseconds()).Text()
	if err != nil {
		return "", fmt.Errorf("cannot ask redis for the lease of the policy: %w", err)
	}
	return who, nil
}

// Held reports whether this process has the lease, as far as it knows.
func (l *Lease) Held() bool { return int64(time.Since(l.began)) < l.until.Load() }
