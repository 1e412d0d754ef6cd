// Package redis shares the step of a service among mirrors, and a person's pause of mirroring.
//
// Redis holds one word a service, with a version that only grows, and tells each new one to
// whoever listens. Mirrors listen, and look once a second besides. A mirror that cannot reach
// Redis keeps the last word it heard. Whoever has a newer word than Redis, which may have
// lost everything, puts it back: of two words the one with the higher version holds.
//
// A step is raised by compare and set, so that of two who move it from one step only one
// does. A rollback asks for nothing: it begins an era, which comes after everything of the
// eras before. Two mirrors that roll back without hearing of each other, since Redis was away
// or has lost everything, begin two eras of one number; whoever hears of both rolls back
// again. So a rollback is never undone by a step that was raised without knowing of it. The same
// holds for two words of one era that were said without knowing of each other, since Redis had
// lost the one when the other was said.
package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrMoved is that somebody has moved the step since.
var ErrMoved = errors.New("another mirror has moved the step")

// ErrNoLease is that another process has the lease of the policy, or none.
var ErrNoLease = errors.New("another process has the lease of the policy")

// Store is a Redis that mirrors share steps in. Its methods may be called from many
// goroutines.
type Store struct {
	cfg    Config
	name   string
	client *redis.Client
}

// Open returns a store; it does not connect. The name is what other mirrors call this one,
// which no other has.
func Open(cfg Config, name string) (*Store, error) {
	client, err := cfg.connection().Open()
	if err != nil {
		return nil, fmt.Errorf("cannot share steps in redis: %w", err)
	}
	return &Store{cfg: cfg, name: name, client: client}, nil
}

// Check asks Redis whether it answers.
func (s *Store) Check(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("cannot share steps in redis: %w", err)
	}
	return nil
}

// Close closes the connections. Closing twice does no harm.
func (s *Store) Close() error {
	if err := s.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// Step returns the shared step of a service.
func (s *Store) Step(service string) *Step { return &Step{s, s.cfg.Prefix + service} }

// Step is the shared step of one service.
type Step struct {
	store *Store
	key   string // and the channel
}

// set takes a word in if its rules allow it, tells it to whoever listens, and returns the
// version that stands then. ARGV: the word with version 0, its mode, the version it is about,
// until when it may be taken in, in milliseconds by the clock of Redis.
//
//	after   it follows exactly that version, and is not late
//	newest  it begins the era after whatever there is, and after that version
//	keep    it has that version, and is taken in if that is higher than what there is
//
// What stands there and is no version, or one that is out of reach, comes before all others, so
// that it is replaced. ARGV[5] is how far versions reach. With ARGV[6] it is taken in only while
// that is who has the lease, KEYS[2].
const set = `
if ARGV[6] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[6] then return {-2, '0'} end
local held = tonumber(redis.call('HGET', KEYS[1], 'version') or '0') or 0
local about = tonumber(ARGV[3])
if not (held >= 0 and held <= about + tonumber(ARGV[5])) then held = 0 end
local version = held
if ARGV[2] == 'after' and held == about then
  local now = redis.call('TIME')
  if now[1] * 1000 + now[2] / 1000 > tonumber(ARGV[4]) then return {-1, string.format('%.0f', held)} end
  version = held + 1
elseif ARGV[2] == 'newest' then version = (math.floor(math.max(held, about) / 4294967296) + 1) * 4294967296
elseif ARGV[2] == 'keep' and about > held then version = about end
if version > held then
  redis.call('HSET', KEYS[1], 'version', string.format('%.0f', version), 'word', ARGV[1])
  redis.call('PUBLISH', KEYS[1], string.format('%.0f', version) .. ' ' .. ARGV[1])
  return {1, string.format('%.0f', version)}
end
return {0, string.format('%.0f', held)}`

// maxVersion is how far Lua counts exactly: two million rollbacks.
const maxVersion = 1 << 53

// Follow sets a word after another, in its era, and returns it with its version. ErrMoved is
// that there is a newer one, any other error that Redis did not answer: then nobody knows
// whether it was set.
func (s *Step) Follow(ctx context.Context, after, w Word) (Word, error) {
	return s.FollowUnder(ctx, nil, after, w)
}

// FollowUnder is Follow that fails unless this process has a lease, by what Redis says; nil: it
// needs none.
func (s *Step) FollowUnder(ctx context.Context, l *Lease, after, w Word) (Word, error) {
	w.Era, w.Trail = after.Era, trail(after)
	now, err := s.set(ctx, "after", after.Version, w, l)
	if !errors.Is(err, ErrMoved) || now.Version >= after.Version {
		return now, err
	}
	if err := s.PutBack(ctx, after); err != nil { // Redis has lost it
		return now, err
	}
	return s.set(ctx, "after", after.Version, w, l)
}

// Overrule sets a word after whatever there is, and after its own version, in an era that
// it begins, and returns it with both.
func (s *Step) Overrule(ctx context.Context, w Word) (Word, error) {
	w.Era, w.Trail = rand.Text(), trail(Word{})
	return s.set(ctx, "newest", w.Version, w, nil)
}

// PutBack sets the word, with its version, if Redis has an older one or none.
func (s *Step) PutBack(ctx context.Context, w Word) error {
	_, err := s.set(ctx, "keep", w.Version, w, nil)
	if errors.Is(err, ErrMoved) {
		return nil
	}
	return err
}

// set sets a word within the timeout. One that raises the step is not taken in later either,
// by a Redis that stood still: whoever asked for it was refused then.
func (s *Step) set(ctx context.Context, mode string, about uint64, w Word, l *Lease) (Word, error) {
	ctx, cancel := context.WithTimeout(ctx, s.store.cfg.Timeout)
	defer cancel()
	var until time.Time
	if mode == "after" {
		now, err := s.store.client.Time(ctx).Result()
		if err != nil {
			return w, fmt.Errorf("cannot share the step in redis: %w", err)
		}
		until = now.Add(s.store.cfg.Timeout)
	}
	return s.setUntil(ctx, until, mode, about, w, l)
}

// setUntil sets a word that may be taken in until then, by the clock of Redis.
func (s *Step) setUntil(ctx context.Context, until time.Time, mode string, about uint64, w Word, l *Lease) (Word, error) {
	if about >= maxVersion {
		return w, fmt.Errorf("cannot share the step in redis: version %d cannot be", about)
	}
	w.Version = 0
	text, err := json.Marshal(w)
	if err != nil {
		return w, fmt.Errorf("cannot share the step in redis: %w", err)
	}
	keys, under := []string{s.key}, ""
	if l != nil {
		keys, under = append(keys, l.key), s.store.name
	}
	answer, err := s.store.client.Eval(ctx, set, keys, text, mode, about, until.UnixMilli(), uint64(leap)<<32, under).Slice()
	if err != nil {
		return w, fmt.Errorf("cannot share the step in redis: %w", err)
	}
	w.Version, err = taken(answer)
	return w, err
}

// taken reads the answer of set: the version that stands then, and why it is not the word's.
func taken(answer []any) (version uint64, err error) {
	if len(answer) != 2 {
		return 0, errors.New("cannot share the step in redis: its answer is none of this script's")
	}
	if version, err = parseVersion(fmt.Sprint(answer[1])); err != nil {
		return 0, err
	}
	switch answer[0] {
	case int64(1):
		return version, nil
	case int64(-2):
		return version, ErrNoLease
	case int64(-1):
		return version, errors.New("cannot share the step in redis: it was too late when redis took it up")
	}
	return version, ErrMoved
}
