package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/internal/ids"
	"parallax/internal/ids/redis"
	"parallax/internal/rig"
)

// journal is a log that a test reads.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

// run runs a store until the test ends.
func run(t *testing.T, s *redis.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// until waits for a state.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	rig.Eventually(t, what, func() error {
		if !ok() {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestStoreComesBack(t *testing.T) {
	t.Parallel()
	s, log := newServer(t), new(journal)
	store := open(t, s.config(), secret, slog.New(slog.NewTextHandler(log, nil)))
	run(t, store)
	var mu sync.Mutex
	away := 0
	m := store.Map("shop", func(reason string) {
		mu.Lock()
		defer mu.Unlock()
		if reason == ids.DroppedAway {
			away++
		}
	})
	learned(t, m)
	for n := 1; n <= 2; n++ {
		s.Kill()
		until(t, "redis is away", func() bool { return store.Err() != nil })
		for range 10 {
			if _, err := m.Find(t.Context(), order); err == nil {
				t.Error("redis is away, and nobody says so")
			}
		}
		mu.Lock()
		if away != 10*n {
			t.Errorf("counted %d times; want %d", away, 10*n)
		}
		mu.Unlock()
		s.Start()
		until(t, "redis is back", func() bool { return store.Err() == nil })
		found, err := m.Find(t.Context(), order)
		if err != nil || found[0] != (ids.Entry{}) {
			t.Errorf("what redis lost is known: %v, %v", found, err)
		}
		learned(t, m)
		if gone, back := log.count("redis has no identifiers"), log.count("redis has identifiers again"); gone != n || back != n {
			t.Errorf("logged %d times that redis is away and %d times that it is back; want %d", gone, back, n)
		}
	}
}

func TestMirrorsWithOtherKeysAreFound(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	silent := slog.New(slog.DiscardHandler)
	run(t, open(t, s.config(), secret, silent))
	until(t, "the prefix is claimed", func() bool { return s.Exists(t.Context(), "parallax:id:mirrors").Val() == 1 })
	other := open(t, s.config(), []byte("another secret of tests"), silent)
	run(t, other)
	until(t, "the other mirror notices", func() bool { return errors.Is(other.Err(), redis.ErrOtherKeys) })
	if _, err := other.Map("shop", nil).Find(t.Context(), order); err == nil {
		t.Error("a mirror with other keys is told that an identifier is not known")
	}
	if _, err := other.Check(t.Context()); !errors.Is(err, redis.ErrOtherKeys) {
		t.Error(err)
	}
	apart := s.config()
	apart.Prefix = "other:"
	if _, err := open(t, apart, []byte("another secret of tests"), silent).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newServer(t, append([]string{"--requirepass", "canary-password", "--user"},
		strings.Fields("mirror on >canary-password ~ids:* +eval +get +set +hget +hset +hgetall +pexpire +info")...)...)
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("canary-password\n")
	c := s.config()
	c.URL, c.PasswordFile, c.Prefix = "unix://mirror@"+s.Socket, file, "ids:"
	silent := slog.New(slog.DiscardHandler)
	store := open(t, c, secret, silent)
	advice, err := store.Check(t.Context())
	if err != nil || len(advice) != 1 || !strings.Contains(advice[0], "maxmemory") {
		t.Errorf("advice %q, %v", advice, err)
	}
	f := func(c redis.Config, want string) {
		t.Helper()
		_, err := open(t, c, secret, silent).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	c.Prefix = "elsewhere:"
	f(c, "NOPERM")
	c.Prefix = "ids:"
	write("wrong")
	f(c, "WRONGPASS")
	f(s.config(), "NOAUTH")
	s.Kill()
	f(c, "connect")
}

func TestFullRedis(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--maxmemory", "1kb", "--maxmemory-policy", "noeviction")
	store := open(t, s.config(), secret, slog.New(slog.DiscardHandler))
	if _, err := store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("redis is full: %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(good, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*redis.Config), want ...string) {
		t.Helper()
		c := redis.DefaultConfig()
		change(&c)
		var got []string
		for _, fault := range c.Validate() {
			got = append(got, fault.Path)
			if strings.Contains(fmt.Sprint(fault), "canary") {
				t.Errorf("%v repeats a password", fault)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", c, diff)
		}
	}
	f(func(*redis.Config) {})
	for _, u := range []string{"redis://h", "redis://:canary@h:6379/3", "rediss://u@[::1]:1", "unix:///run/s"} {
		f(func(c *redis.Config) { c.URL = u })
	}
	for _, u := range []string{"h:6379", "http://h", "redis://", "redis://u:canary@h:x", "redis://:canary@h/a", "redis://h/-1", "redis://h/1/2", "redis://h?db=3", "unix://h/s", "unix://"} {
		f(func(c *redis.Config) { c.URL = u }, "redis")
	}
	f(func(c *redis.Config) { c.PasswordFile, c.CA = good, good }, "password_file", "ca")
	f(func(c *redis.Config) { c.URL, c.PasswordFile = "redis://:canary@h", good }, "password_file")
	f(func(c *redis.Config) { c.URL, c.PasswordFile, c.CA = "rediss://h", good+"x", good }, "password_file", "ca")
	f(func(c *redis.Config) { c.URL, c.CA = "redis://h", good }, "ca", "ca")
	f(func(c *redis.Config) { c.URL, c.Prefix, c.Timeout, c.CA = "x", "a b", time.Minute, good+"x" }, "prefix", "timeout", "redis", "ca")
}
