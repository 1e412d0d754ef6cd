package redis_test

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parallax"
	"parallax/internal/ids"
	"parallax/internal/ids/idstest"
	"parallax/internal/ids/redis"
	"parallax/internal/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("secret of the tests")

// server is a Redis of the test's own, and a client of it.
type server struct {
	t *testing.T
	*rig.Redis
	*goredis.Client
}

func newServer(t *testing.T, options ...string) *server {
	t.Helper()
	s := &server{t: t, Redis: rig.StartRedis(t, options...)}
	s.Client = goredis.NewClient(&goredis.Options{Network: "unix", Addr: s.Socket, MaxRetries: -1})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// config leads to the server. Tests have time, so that a busy machine fails none.
func (s *server) config() redis.Config {
	c := redis.DefaultConfig()
	c.URL, c.Timeout = "unix://"+s.Socket, 5*time.Second
	return c
}

func open(t *testing.T, c redis.Config, secret []byte, log *slog.Logger) *redis.Store {
	t.Helper()
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	s, err := redis.Open(c, secret, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// mapOf is a mirror's map of a service.
func (s *server) mapOf(service string) *redis.Map {
	return open(s.t, s.config(), secret, slog.New(slog.DiscardHandler)).Map(service, nil)
}

func TestMap(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	n := 0
	idstest.TestMap(t, func(t *testing.T) ids.Map {
		n++
		return s.mapOf(fmt.Sprintf("shop-%d", n))
	})
}

var order = ids.Ref{Name: "order", Leg: parallax.Primary, Value: "canary-primary"}

func learned(t *testing.T, m ids.Map) {
	t.Helper()
	fact := ids.Fact{Ref: order, To: parallax.Candidate, State: ids.Paired, Partner: "canary-candidate", TTL: time.Hour}
	if err := m.Learn(t.Context(), fact); err != nil {
		t.Fatal(err)
	}
}

func TestMirrorsShareWhatOneLearned(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	learned(t, s.mapOf("shop"))
	found, err := s.mapOf("shop").Find(t.Context(), order)
	if err != nil || found[0][parallax.Candidate].Value != "canary-candidate" {
		t.Errorf("another mirror found %v, %v", found, err)
	}
	found, err = s.mapOf("cart").Find(t.Context(), order)
	if err != nil || found[0] != (ids.Entry{}) {
		t.Errorf("another service found %v, %v", found, err)
	}
}

func TestRedisHoldsNoValueInTheClear(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	learned(t, s.mapOf("shop"))
	names, err := s.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 2 {
		t.Fatalf("%d keys, %v", len(names), err)
	}
	for _, name := range names {
		fields, err := s.HGetAll(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if text := name + fmt.Sprint(fields); strings.Contains(text, "canary") {
			t.Errorf("redis holds %q", text)
		}
		if left := s.PTTL(t.Context(), name).Val(); left <= 0 || left > time.Hour {
			t.Errorf("%s expires in %s", name, left)
		}
	}
	other := open(t, s.config(), []byte("another secret of tests"), slog.New(slog.DiscardHandler)).Map("shop", nil)
	if found, err := other.Find(t.Context(), order); err != nil || found[0] != (ids.Entry{}) {
		t.Errorf("without the secret: %v, %v", found, err)
	}
}

func TestRedisAwayCostsLittleTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	m := s.mapOf("shop")
	learned(t, m)
	s.Kill()
	began := time.Now()
	for range 1000 {
		if _, err := m.Find(t.Context(), order); err == nil {
			t.Fatal("redis is away, and nobody says so")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("1000 questions took %s", took)
	}
}

// TestRedisThatHangs: whoever asks gets an error in bounded time.
func TestRedisThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := redis.DefaultConfig()
	c.URL = "redis://" + l.Addr().String()
	m := open(t, c, secret, slog.New(slog.DiscardHandler)).Map("shop", nil)
	began := time.Now()
	if _, err := m.Find(t.Context(), order); err == nil {
		t.Error("redis hangs, and nobody says so")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
