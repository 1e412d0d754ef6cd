package redis

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Store is a Redis that mirrors share identifiers in. Its methods may be called
// from many goroutines.
type Store struct {
	cfg    Config
	client *redis.Client
	names  []byte // key of the hash of values
	seal   cipher.AEAD
	mark   string // of the secret, for others to see
	log    *slog.Logger
	away   atomic.Pointer[outage] // nil while Redis answers
}

// outage is why Redis is left alone.
type outage struct {
	err   error
	since time.Time
}

// Open returns a store; it does not connect. All mirrors that share it need the
// same secret of at least 16 bytes. log hears once that Redis is away, and once
// that it is back.
func Open(cfg Config, secret []byte, log *slog.Logger) (*Store, error) {
	if len(secret) < 16 {
		return nil, errors.New("cannot keep identifiers in redis: the secret is shorter than 16 bytes")
	}
	block, err := aes.NewCipher(derive(secret, "partner"))
	if err != nil {
		return nil, fmt.Errorf("cannot keep identifiers in redis: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("cannot keep identifiers in redis: %w", err)
	}
	client, err := cfg.connection().Open()
	if err != nil {
		return nil, fmt.Errorf("cannot keep identifiers in redis: %w", err)
	}
	return &Store{
		cfg: cfg, client: client, log: log, seal: seal,
		names: derive(secret, "value"), mark: hex.EncodeToString(derive(secret, "mark")[:16]),
	}, nil
}

func derive(secret []byte, what string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("parallax identifiers " + what))
	return h.Sum(nil)
}

// Run looks every second whether Redis answers and mirrors with other keys share
// it, until ctx ends. It is the only one that asks while Redis is away.
func (s *Store) Run(ctx context.Context) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		if err := s.look(ctx, claimFor); ctx.Err() != nil {
			return nil
		} else if err != nil {
			s.fail(err)
		} else if was := s.away.Swap(nil); was != nil {
			s.log.Info("redis has identifiers again", "after", time.Since(was.since).Round(time.Millisecond))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Err says why Redis has no identifiers at the moment, nil when it has.
func (s *Store) Err() error {
	if o := s.away.Load(); o != nil {
		return fmt.Errorf("redis has no identifiers since %s: %w", o.since.UTC().Format(time.RFC3339), o.err)
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

// Check asks Redis for all that sharing identifiers needs, once, and leaves
// nothing there. Advice is what works and would be better otherwise.
func (s *Store) Check(ctx context.Context) (advice []string, err error) {
	if err := s.look(ctx, 0); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	text, err := s.client.Info(limited, "memory").Result()
	if err != nil {
		return nil, nil // whoever may not ask this may still share identifiers
	}
	return advise(text), nil
}

// advise reads what Redis says of its memory.
func advise(text string) (advice []string) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	if fields["maxmemory"] == "0" {
		advice = append(advice, "redis has no maxmemory: nothing but their ttl bounds what identifiers take")
	}
	if fields["maxmemory_policy"] == "noeviction" && fields["maxmemory"] != "0" {
		advice = append(advice, "redis has the policy noeviction: when it is full, no identifier is known any more; volatile-lru forgets the least used")
	}
	return advice
}

// claim notes what secret the mirrors of a prefix have, and returns what is noted.
const claim = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
if ARGV[2] ~= '0' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return ARGV[1]`

// ErrOtherKeys says that mirrors would not find each other's identifiers.
var ErrOtherKeys = errors.New("mirrors with another keys file share identifiers under this prefix: give all the same file, or each installation an identifiers.prefix of its own")

// look tries what maps do, and claims the prefix for so long, if at all.
func (s *Store) look(ctx context.Context, hold time.Duration) error {
	var held *redis.Cmd
	err := s.exec(ctx, func(ctx context.Context, p redis.Pipeliner) error {
		p.Eval(ctx, note, []string{s.cfg.Prefix + "probe"}, "0", "1", lookAgain.Milliseconds())
		p.Eval(ctx, find, []string{s.cfg.Prefix + "probe"})
		held = p.Eval(ctx, claim, []string{s.cfg.Prefix + "mirrors"}, s.mark, hold.Milliseconds())
		return nil
	})
	if err != nil {
		return err
	}
	if mark, err := held.Text(); err != nil || mark != s.mark {
		return errors.Join(ErrOtherKeys, err)
	}
	return nil
}

// errAway is returned while Redis is left alone.
var errAway = errors.New("cannot ask redis for identifiers: it is away")

// ask sends a batch of commands, unless Redis is away.
func (s *Store) ask(ctx context.Context, fill func(context.Context, redis.Pipeliner) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.away.Load() != nil {
		return errAway
	}
	err := s.exec(ctx, fill)
	if err != nil && ctx.Err() != context.Canceled {
		s.fail(err)
	}
	return err
}

// exec sends a batch of commands. It ends within the configured time; a context
// with less does not end it sooner, so that a failure is always that of Redis, or
// ctx was cancelled.
func (s *Store) exec(ctx context.Context, fill func(context.Context, redis.Pipeliner) error) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if ctx.Err() == context.Canceled {
			cancel()
		}
	})()
	p := s.client.Pipeline()
	if err := fill(limited, p); err != nil || p.Len() == 0 {
		return err
	}
	if _, err := p.Exec(limited); err != nil {
		return fmt.Errorf("cannot ask redis for identifiers: %w", err)
	}
	return nil
}

// fail has Redis left alone. Only the first failure is logged.
func (s *Store) fail(err error) {
	if s.away.CompareAndSwap(nil, &outage{err: err, since: time.Now()}) {
		s.log.Warn("redis has no identifiers; exchanges that name one are not comparable until it has", "error", err)
	} else if was := s.away.Load(); was != nil {
		s.away.CompareAndSwap(was, &outage{err: err, since: was.since})
	}
}
