// Package redis keeps identifiers in Redis, so that several mirrors of a service
// share them.
//
// A value is a hash, under a keyed hash of itself; each of its fields is the partner
// on one leg, encrypted: who reads Redis reads no session token. Every key expires.
// Nothing else bounds what Redis holds, so it should have maxmemory and the policy
// volatile-lru. Every key is read and written by itself.
//
// A call ends within Config.Timeout. Once one fails nobody asks Redis but
// [Store.Run], which looks every second whether it is back; until then every call
// fails at once.
package redis

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"parallax"
	"parallax/internal/ids"
)

// Bounds of a map in Redis.
const (
	maxText   = 16 << 10               // bytes of a value; a longer one is not taken in
	pollFirst = 10 * time.Millisecond  // between looks at a partner that is on its way
	pollLast  = 100 * time.Millisecond // later
)

// Map is the [ids.Map] of one service in a [Store].
type Map struct {
	store   *Store
	service string
	dropped func(reason string)
}

var _ ids.Map = (*Map)(nil)

// Map returns the map of a service. dropped hears of values that are not taken in,
// and of each call that Redis did not answer ([ids.DroppedAway]); it may be nil.
func (s *Store) Map(service string, dropped func(reason string)) *Map {
	if dropped == nil {
		dropped = func(string) {}
	}
	return &Map{store: s, service: service, dropped: dropped}
}

// key is what a value is kept under. Lengths go first, so that no two values share one.
func (m *Map) key(ref ids.Ref) string {
	h := hmac.New(sha256.New, m.store.names)
	fmt.Fprintf(h, "%d %s %d %s %d ", len(m.service), m.service, len(ref.Name), ref.Name, ref.Leg)
	h.Write([]byte(ref.Value))
	return m.store.cfg.Prefix + hex.EncodeToString(h.Sum(nil))
}

// note takes in one side of a fact, unless what is known counts more. States are
// 1 pending, 2 paired, 3 failed, as in package ids.
const note = `
local known, learned = string.sub(redis.call('HGET', KEYS[1], ARGV[1]) or '0', 1, 1), string.sub(ARGV[2], 1, 1)
if learned == '2' or learned == '1' and (known == '0' or known == '3') or learned == '3' and (known == '0' or known == '1') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('HSET', KEYS[1], 'ttl', ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`

// find returns what is known of a value, and has it remembered longer.
const find = `
local known = redis.call('HGETALL', KEYS[1])
if #known > 0 then redis.call('PEXPIRE', KEYS[1], redis.call('HGET', KEYS[1], 'ttl')) end
return known`

// Learn implements [ids.Map].
func (m *Map) Learn(ctx context.Context, facts ...ids.Fact) error {
	return m.ask(ctx, func(ctx context.Context, p redis.Pipeliner) error {
		for _, f := range facts {
			if len(f.Value) > maxText || len(f.Partner) > maxText {
				m.dropped(ids.DroppedTooLong)
				continue
			}
			if f.TTL <= 0 {
				f.TTL = ids.DefaultTTL
			}
			if err := m.note(ctx, p, f.Ref, f.To, ids.Partner{State: f.State, Value: f.Partner}, f.TTL); err != nil {
				return err
			}
			if f.State != ids.Paired {
				continue
			}
			if err := m.note(ctx, p, ids.Ref{Name: f.Name, Leg: f.To, Value: f.Partner}, f.Leg, ids.Partner{State: ids.Paired, Value: f.Value}, f.TTL); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Map) note(ctx context.Context, p redis.Pipeliner, ref ids.Ref, to parallax.Leg, partner ids.Partner, ttl time.Duration) error {
	sealed, err := m.sealed(m.key(ref), partner)
	if err != nil {
		return err
	}
	p.Eval(ctx, note, []string{m.key(ref)}, strconv.Itoa(int(to)), sealed, max(ttl.Milliseconds(), 1))
	return nil
}

// sealed writes a partner down: its state, and the value encrypted. It belongs to
// its key.
func (m *Map) sealed(key string, p ids.Partner) (string, error) {
	state := strconv.Itoa(int(p.State))
	if p.State != ids.Paired {
		return state, nil
	}
	nonce := make([]byte, m.store.seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("cannot encrypt an identifier: %w", err)
	}
	return state + string(m.store.seal.Seal(nonce, nonce, []byte(p.Value), []byte(key))), nil
}

func (m *Map) opened(key, text string) (ids.Partner, error) {
	if text == "" || text[0] < '1' || text[0] > '3' {
		return ids.Partner{}, errors.New("cannot read an identifier in redis: its state is not known")
	}
	p := ids.Partner{State: ids.State(text[0] - '0')}
	if p.State != ids.Paired {
		return p, nil
	}
	n := m.store.seal.NonceSize()
	if len(text) < 1+n {
		return ids.Partner{}, errors.New("cannot read an identifier in redis: it is cut off")
	}
	value, err := m.store.seal.Open(nil, []byte(text[1:1+n]), []byte(text[1+n:]), []byte(key))
	if err != nil {
		return ids.Partner{}, fmt.Errorf("cannot decrypt an identifier in redis; do all mirrors have the same keys file? %w", err)
	}
	p.Value = string(value)
	return p, nil
}

// Find implements [ids.Map].
func (m *Map) Find(ctx context.Context, refs ...ids.Ref) ([]ids.Entry, error) {
	answers := make([]*redis.Cmd, len(refs))
	err := m.ask(ctx, func(ctx context.Context, p redis.Pipeliner) error {
		for i, ref := range refs {
			answers[i] = p.Eval(ctx, find, []string{m.key(ref)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]ids.Entry, len(refs))
	for i, answer := range answers {
		if out[i], err = m.entry(m.key(refs[i]), answer); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// entry reads the fields of a hash.
func (m *Map) entry(key string, answer *redis.Cmd) (e ids.Entry, err error) {
	fields, err := answer.StringSlice()
	if err != nil {
		return e, fmt.Errorf("cannot read an identifier in redis: %w", err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		leg, err := strconv.Atoi(fields[i])
		if err != nil || leg < 0 || leg >= parallax.Legs {
			continue // its ttl
		}
		if e[leg], err = m.opened(key, fields[i+1]); err != nil {
			return e, err
		}
	}
	return e, nil
}

// Await implements [ids.Map]. It looks again and again, since what another mirror
// learned is not announced.
func (m *Map) Await(ctx context.Context, ref ids.Ref, to parallax.Leg) (ids.Partner, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := ids.Partner{State: ids.Pending}
	for pause := pollFirst; ; pause = min(2*pause, pollLast) {
		select {
		case <-ctx.Done():
			return last, nil
		case <-timer.C:
		}
		found, err := m.Find(ctx, ref)
		if ctx.Err() != nil {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if last = found[0][to]; last.State != ids.Pending {
			return last, nil
		}
		timer.Reset(pause)
	}
}

// ask sends a batch of commands and counts that Redis is away.
func (m *Map) ask(ctx context.Context, fill func(context.Context, redis.Pipeliner) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := m.store.ask(ctx, fill)
	if err != nil && ctx.Err() != context.Canceled {
		m.dropped(ids.DroppedAway)
	}
	return err
}
