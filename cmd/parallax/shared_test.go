package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parallax/internal/rig"
	"parallax/ui"
)

// pair is two Parallaxes in front of the same two keepers, which share what they
// learn in a Redis.
type pair struct {
	t     *testing.T
	redis *rig.Redis
	plays [2]*play
}

// sharedConfig is one mirror's configuration.
func sharedConfig(primary, candidate, keys, redis, password string) string {
	return fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
keys: %q
identifiers: { redis: %q, password_file: %q, timeout: 5s }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["POST /users", "POST /login", "POST /orders", "GET /orders", "GET /orders/{id}", "PUT /orders/{id}", "DELETE /orders/{id}"]
  mirror: { unsafe: allowed, order_by: "header:X-User", timeout: 30s, in_flight: 4096 }
%s`, keys, "unix://"+redis, password, primary, candidate, statefulIdentifiers)
}

// TestACopyIsNotBegunWhereIdentifiersAreShared: nobody could forget those of the database that
// is replaced, and that is said before it is.
func TestACopyIsNotBegunWhereIdentifiersAreShared(t *testing.T) {
	t.Parallel()
	p := newPair(t).plays[0]
	if answer := conflicting(t, p.Parallax, "/api/v1/services/shop/copy:begin"); !strings.Contains(answer, "without identifiers.redis") {
		t.Errorf("a copy: %s", answer)
	}
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, primary := newKeeper(t, "old", 0, false)
	candidate, url := newKeeper(t, "new", 9000, false)
	p := &pair{t: t, redis: rig.StartRedis(t, "--requirepass", "sesame")}
	for i := range p.plays {
		config := sharedConfig(primary, url, filepath.Join(dir, "keys"), p.redis.Socket, password)
		p.plays[i] = &play{candidate: candidate, Parallax: rig.Start(t, config)}
	}
	return p
}

// live has users write through one mirror, and read and change through the other.
func (p *pair) live(round string, users int) {
	p.t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for n := range users {
		all.Go(func() {
			here, there := p.plays[n%2], p.plays[1-n%2]
			name := fmt.Sprintf("%s-%d", round, n)
			writer := &userOf{t: p.t, p: here, name: name}
			var me, order struct{ ID int }
			var session struct{ Token string }
			writer.do("POST", "/users", `{}`, 201, &me)
			writer.do("POST", "/login", fmt.Sprintf(`{"user_id":%d}`, me.ID), 200, &session)
			writer.token = session.Token
			writer.do("POST", "/orders", `{"sku":"pen","quantity":1}`, 201, &order)
			reader := &userOf{t: p.t, p: there, name: name, token: session.Token}
			at := fmt.Sprintf("/orders/%d", order.ID)
			reader.do("GET", at, "", 200, nil)
			reader.do("PUT", at, `{"quantity":17}`, 200, nil)
			reader.do("GET", at, "", 200, nil)
			reader.list()
			mu.Lock()
			defer mu.Unlock()
			here.sent += writer.sent
			there.sent += reader.sent
		})
	}
	all.Wait()
	if p.t.Failed() {
		p.t.FailNow()
	}
}

// judged returns what both mirrors counted, by outcome, once all is settled.
func (p *pair) judged(what string) (match, diverged, notComparable int64) {
	p.t.Helper()
	for _, one := range p.plays {
		r, m, d, n := one.judged(p.t, what)
		match, diverged, notComparable = match+m, diverged+d, notComparable+n
		for _, e := range r.Endpoints {
			for reason := range e.NotComparableReasons {
				if reason != "unmapped_identifier" && reason != "not_asked" && reason != "state_gap" { // a write that names another's order, and what comes after it
					p.t.Errorf("%s: %s is not comparable because of %s", what, e.Endpoint, reason)
				}
			}
		}
		delete(r.Accounting.Lost, "behind") // writes that wait for one that is to be caught up
		if len(r.Accounting.Lost) > 0 || len(r.Accounting.Unmirrored) > 0 {
			p.t.Errorf("%s: lost %v, unmirrored %v", what, r.Accounting.Lost, r.Accounting.Unmirrored)
		}
	}
	return match, diverged, notComparable
}

// waitUp waits until both mirrors say of Redis that it is there, or is not, and
// still serve.
func (p *pair) waitUp(up bool) {
	p.t.Helper()
	for _, one := range p.plays {
		rig.Eventually(p.t, fmt.Sprintf("redis up: %v", up), func() error {
			var ready struct {
				Dependencies []ui.Dependency `json:"dependencies"`
			}
			if err := one.JSON("/readyz", &ready); err != nil {
				return err
			}
			for _, d := range ready.Dependencies {
				if d.Name == "identifiers" && d.OK == up {
					return nil
				}
			}
			return fmt.Errorf("%+v", ready)
		})
	}
}

// TestMirrorsShareIdentifiers: what one mirror learns the other translates. While
// Redis is away callers are served, nothing diverges by it, all is accounted for,
// and both mirrors go on when it is back.
func TestMirrorsShareIdentifiers(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.waitUp(true)
	p.live("first", 20)
	all, diverged, not := p.judged("shared")
	if diverged > 0 || not > 0 || all != p.plays[0].sent+p.plays[1].sent {
		t.Errorf("%d diverged, %d not comparable; want none", diverged, not)
	}

	p.redis.Kill()
	p.live("away", 20)
	p.waitUp(false)
	match, diverged, not := p.judged("redis is away")
	if diverged > 0 || not == 0 || match < all {
		t.Errorf("%d match, %d diverged, %d not comparable; want exchanges that name an identifier not to be comparable", match, diverged, not)
	}

	p.redis.Start()
	p.waitUp(true)
	sent := p.plays[0].sent + p.plays[1].sent
	p.live("back", 20)
	again, diverged, notAgain := p.judged("redis is back")
	if diverged > 0 || notAgain != not || again-match != p.plays[0].sent+p.plays[1].sent-sent {
		t.Errorf("%d diverged, %d more not comparable; want none", diverged, notAgain-not)
	}
	for _, one := range p.plays {
		log := one.Log()
		if gone, back := strings.Count(log, "redis has no identifiers"), strings.Count(log, "redis has identifiers again"); gone != 1 || back != 1 {
			t.Errorf("logged %d times that redis is away and %d times that it is back; want once", gone, back)
		}
	}
}

// TestCheckAsksRedis: check says what is wrong with the Redis, and never its password.
func TestCheckAsksRedis(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t, "--requirepass", "sesame")
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	f := func(url, secret, want string, code int) {
		t.Helper()
		if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "parallax.yaml")
		config := shopConfig("http://127.0.0.1:1", "http://127.0.0.1:2", fmt.Sprintf("identifiers: { redis: %q, password_file: password, timeout: 5s }\n", url))
		if secret == "" {
			config = strings.Replace(config, "password_file: password, ", "", 1)
		}
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, wrong bytes.Buffer
		got := run(t.Context(), []string{"check", "-c", file}, os.Getenv, strings.NewReader(""), &out, &wrong)
		text := out.String() + wrong.String()
		if got != code || !strings.Contains(text, want) || strings.Contains(text, "sesame") {
			t.Errorf("%s: exits with %d; want %d and %q in\n%s", url, got, code, want, text)
		}
	}
	at := "unix://" + server.Socket
	f(at, "sesame", "has no maxmemory", exitGood)
	f(at, "wrong", "identifiers.redis: cannot ask redis for identifiers: WRONGPASS", exitNot)
	f(at, "", "identifiers.redis: cannot ask redis for identifiers: NOAUTH", exitNot)
	f("unix://:sesame@"+server.Socket, "", "xxxxx@"+server.Socket, exitGood)
	server.Kill()
	f(at, "sesame", "identifiers.redis: cannot ask redis for identifiers: dial unix", exitNot)
}
