package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"parallax/internal/rig"
)

// TestCanariesAreInNoQueue sends secrets through a mirror and looks for them wherever they wait: in Redis, in its dead
// letters, in files while Redis is away, and in writes that a leg has missed.
func TestCanariesAreInNoQueue(t *testing.T) {
	t.Parallel()
	var away atomic.Bool // the candidate is
	legs := [2]string{}
	for i, leg := range []string{"primary", "candidate"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if leg == "candidate" && away.Load() {
				panic(http.ErrAbortHandler)
			}
			for _, b := range secretBodies {
				if kind := r.Header.Get("Content-Type"); kind == b.contentType {
					w.Header().Set("Content-Type", kind)
					w.Header().Set("Set-Cookie", "sid="+bird+"-cookie-"+leg+"; Path=/")
					fmt.Fprintf(w, b.text, bird, leg)
				}
			}
		}))
		t.Cleanup(s.Close)
		legs[i] = s.URL
	}
	dir, server := t.TempDir(), rig.StartRedis(t, "--rdbcompression", "no")
	config := fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: { STORE }
keys: "%[1]s/keys"
queue: { redis: "unix://%[2]s", claim_after: 1s, timeout: 200ms }
steps: { redis: "unix://%[2]s" }
identifiers: { redis: "unix://%[2]s" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%[3]q] }
  candidate: { urls: [%[4]q], state: own, outbound: none, jobs: off }
  endpoints: ["GET /orders/{id}", "POST /orders"]
  mirror: { unsafe: allowed, order_by: "header:X-User" }
  identifiers: [{ name: login, from: ["POST /orders $.token"], in: ["GET /orders/{id} $.token"] }]
`, dir, server.Socket, legs[0], legs[1])
	engine := filepath.Join(filepath.Dir(server.Socket), "engine") // a short name, for a socket
	mirror := rig.StartRoles(t, dir, strings.Replace(config, "STORE", fmt.Sprintf("clickhouse: %q", "unix://"+engine), 1), "mirror")
	send := func() {
		for i, b := range secretBodies {
			sendSecrets(t, mirror, b.contentType, fmt.Sprintf(b.text, bird, "caller"), i)
		}
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, Protocol: 2})
	t.Cleanup(func() { client.Close() })
	waits := func(what string, n int64) {
		t.Helper()
		rig.Eventually(t, fmt.Sprintf("%d exchanges in %s", n, what), func() error {
			if found, err := client.XLen(t.Context(), "{parallax:queue:}"+what).Result(); err != nil || found < n {
				return fmt.Errorf("%d, %v", found, err)
			}
			return nil
		})
	}

	send()
	waits("exchanges", int64(len(secretBodies)))
	server.Freeze()
	send()
	filled(t, filepath.Join(dir, "parallax-state", "queue"))
	seeFiles(t, dir)
	server.Thaw()
	waits("exchanges", 2*int64(len(secretBodies)))
	away.Store(true)
	send()
	filled(t, filepath.Join(dir, "parallax-state", "spool"))
	seeFiles(t, dir)
	poison(t, client)
	seeRedis(t, client)
	rest := rig.StartRoles(t, t.TempDir(), strings.Replace(config, "STORE", fmt.Sprintf("dir: %q, socket: %q", filepath.Join(dir, "data"), engine), 1), "compare,ui,policy")
	waits("dead", 3)
	seeRedis(t, client)
	seePages(t, rest)
	for _, p := range []*rig.Parallax{mirror, rest} {
		p.Stop()
		seen(t, "the log", p.Log())
	}
	seeFiles(t, dir)
}

// poison gives three exchanges to a worker that never says a word, again and again.
func poison(t *testing.T, client *redis.Client) {
	t.Helper()
	const key, group, worker = "{parallax:queue:}exchanges", "workers", "a worker of the tests"
	if err := client.XGroupCreateMkStream(t.Context(), key, group, "0").Err(); err != nil && !strings.Contains(err.Error(), "BUSYGROUP") {
		t.Fatal(err)
	}
	read, err := client.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: group, Consumer: worker, Streams: []string{key, ">"}, Count: 3}).Result()
	if err != nil || len(read) != 1 || len(read[0].Messages) != 3 {
		t.Fatalf("%v, %v", read, err)
	}
	for _, m := range read[0].Messages {
		if err := client.Do(t.Context(), "XCLAIM", key, group, worker, 0, m.ID, "IDLE", 60_000, "RETRYCOUNT", 9).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// seeRedis looks for secrets in all that a Redis holds.
func seeRedis(t *testing.T, client *redis.Client) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		text, err := client.Dump(t.Context(), key).Result()
		if err != nil && !errors.Is(err, redis.Nil) { // it has expired
			t.Fatal(err)
		}
		seen(t, "redis, "+fmt.Sprintf("%q", key), key+text)
	}
}

// filled waits until a folder has a file with something in it.
func filled(t *testing.T, dir string) {
	t.Helper()
	rig.Eventually(t, "something in "+dir, func() error {
		var size int64
		err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err == nil && size == 0 {
			err = errors.New("nothing")
		}
		return err
	})
}

// seeFiles looks for secrets in all files below a folder.
func seeFiles(t *testing.T, dir string) {
	t.Helper()
	for _, spelled := range birdSpelled {
		searchFiles(t, dir, spelled)
	}
}
