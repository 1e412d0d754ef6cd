package redis_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parallax"
	"parallax/internal/ids"
	"parallax/internal/ids/idstest"
	"parallax/internal/ids/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("secret of the tests")

// server starts a Redis of the test's own and returns a client of it, and how to
// end it.
func server(t *testing.T) (*goredis.Client, func()) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server here; scripts/setup-test.sh installs it")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: socket, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	waiting := goredis.NewClient(&goredis.Options{Network: "unix", Addr: socket, MaxRetries: 500, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 20 * time.Millisecond})
	defer waiting.Close()
	if err := waiting.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("redis does not answer: %v", err)
	}
	return client, stop
}

func open(t *testing.T, client goredis.UniversalClient, service string) *redis.Map {
	t.Helper()
	m, err := redis.New(client, service, secret, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMap(t *testing.T) {
	t.Parallel()
	client, _ := server(t)
	n := 0
	idstest.TestMap(t, func(t *testing.T) ids.Map {
		n++
		return open(t, client, fmt.Sprintf("shop-%d", n))
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
	client, _ := server(t)
	learned(t, open(t, client, "shop"))
	found, err := open(t, client, "shop").Find(t.Context(), order)
	if err != nil || found[0][parallax.Candidate].Value != "canary-candidate" {
		t.Errorf("another mirror found %v, %v", found, err)
	}
	found, err = open(t, client, "cart").Find(t.Context(), order)
	if err != nil || found[0] != (ids.Entry{}) {
		t.Errorf("another service found %v, %v", found, err)
	}
}

func TestRedisHoldsNoValueInTheClear(t *testing.T) {
	t.Parallel()
	client, _ := server(t)
	learned(t, open(t, client, "shop"))
	names, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 2 {
		t.Fatalf("%d keys, %v", len(names), err)
	}
	for _, name := range names {
		fields, err := client.HGetAll(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if text := name + fmt.Sprint(fields); strings.Contains(text, "canary") {
			t.Errorf("redis holds %q", text)
		}
		if left := client.PTTL(t.Context(), name).Val(); left <= 0 || left > time.Hour {
			t.Errorf("%s expires in %s", name, left)
		}
	}
	other, err := redis.New(client, "shop", []byte("another secret of tests"), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := other.Find(t.Context(), order); err != nil || found[0] != (ids.Entry{}) {
		t.Errorf("without the secret: %v, %v", found, err)
	}
}

func TestRedisAwayCostsLittleTime(t *testing.T) {
	t.Parallel()
	client, stop := server(t)
	m := open(t, client, "shop")
	learned(t, m)
	stop()
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
	client := goredis.NewClient(&goredis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1})
	defer client.Close()
	began := time.Now()
	if _, err := open(t, client, "shop").Find(t.Context(), order); err == nil {
		t.Error("redis hangs, and nobody says so")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
