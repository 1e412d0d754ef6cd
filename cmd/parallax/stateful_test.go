package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
)

// play is a whole Parallax between users and two keepers.
type play struct {
	*rig.Parallax
	candidate *keeper
	sent      int64
}

func newPlay(t *testing.T, jwt bool, identifiers string) *play {
	t.Helper()
	_, primary := newKeeper(t, "old", 0, jwt)
	candidate, url := newKeeper(t, "new", 9000, jwt)
	return &play{candidate: candidate, Parallax: rig.Start(t, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["POST /users", "POST /login", "POST /orders", "GET /orders", "GET /orders/{id}", "PUT /orders/{id}", "DELETE /orders/{id}"]
  mirror: { unsafe: allowed, order_by: "header:X-User", timeout: 30s, in_flight: 4096 }
%s`, primary, url, identifiers))}
}

// userOf is somebody who uses the service over HTTP.
type userOf struct {
	t     *testing.T
	p     *play
	name  string
	token string
	sent  int64
}

// do sends a request, wants a status, and reads the answer into value.
func (u *userOf) do(method, target, body string, want int, value any, headers ...string) http.Header {
	u.sent++
	request, err := http.NewRequestWithContext(u.t.Context(), method, u.p.Services["shop"]+target, strings.NewReader(body))
	if err != nil {
		u.t.Error(err)
		return nil
	}
	request.Header.Set("X-User", u.name)
	request.Header.Set("Content-Type", "application/json")
	if u.token != "" {
		request.Header.Set("Authorization", "Bearer "+u.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		u.t.Error(err)
		return nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		u.t.Errorf("%s: %s %s: %s %q, %v; want %d", u.name, method, target, answer.Status, text, err, want)
		return nil
	}
	if value != nil {
		if err := json.Unmarshal(text, value); err != nil {
			u.t.Errorf("%s: %s %s: %q: %v", u.name, method, target, text, err)
		}
	}
	return answer.Header
}

// live is all that one user does: register, log in, create, read back, read again
// unless it has changed, change, list page by page, delete.
func (u *userOf) live() {
	var me struct{ ID int }
	u.do("POST", "/users", `{}`, 201, &me)
	var session struct{ Token string }
	u.do("POST", "/login", fmt.Sprintf(`{"user_id":%d}`, me.ID), 200, &session)
	u.token = session.Token
	var orders []int
	for i := range 3 {
		var o kept
		u.do("POST", "/orders", fmt.Sprintf(`{"sku":"pen","quantity":%d}`, i+1), 201, &o)
		orders = append(orders, o.ID)
	}
	first := fmt.Sprintf("/orders/%d", orders[0])
	tag := u.do("GET", first, "", 200, nil).Get("ETag")
	u.do("GET", first, "", 304, nil, "If-None-Match", tag)
	u.do("PUT", first, `{"quantity":17}`, 200, nil)
	u.do("GET", first, "", 200, nil, "If-None-Match", tag)
	u.list()
	u.do("DELETE", first, "", 204, nil)
	u.do("GET", first, "", 404, nil)
}

// list reads all pages.
func (u *userOf) list() {
	for target := "/orders"; target != ""; {
		var page struct {
			Orders []kept
			Next   string `json:"next_cursor"`
		}
		u.do("GET", target, "", 200, &page)
		if target = ""; page.Next != "" {
			target = "/orders?cursor=" + page.Next
		}
	}
}

// crowd has 50 users live at once.
func (p *play) crowd(t *testing.T) {
	t.Helper()
	users := make([]*userOf, 50)
	var all sync.WaitGroup
	for i := range users {
		users[i] = &userOf{t: t, p: p, name: fmt.Sprintf("user-%d", i)}
		all.Go(users[i].live)
	}
	all.Wait()
	for _, u := range users {
		p.sent += u.sent
	}
	if t.Failed() {
		t.FailNow()
	}
}

// judged waits until all has been compared and returns how it came out.
func (p *play) judged(t *testing.T, what string) (r reports.Report, match, diverged, notComparable int64) {
	t.Helper()
	r = settled(t, p.Parallax, p.sent)
	c := r.Accounting.Compared
	match, diverged, notComparable = c["match"], c["diverged"], c["not_comparable"]
	t.Logf("%s: %d exchanges: %d match, %d diverged (%.1f %%), %d not comparable, lost %v, unmirrored %v", what,
		p.sent, match, diverged, 100*float64(diverged)/float64(p.sent), notComparable, r.Accounting.Lost, r.Accounting.Unmirrored)
	return r, match, diverged, notComparable
}

// suggested returns what the verb prints, and wants it to find something.
func (p *play) suggested(t *testing.T) string {
	t.Helper()
	var out, wrong bytes.Buffer
	args := []string{"rules", "suggest-identifiers", "--server", p.Admin, "--service", "shop"}
	if code := run(t.Context(), args, os.Getenv, strings.NewReader(""), &out, &wrong); code != exitNot {
		t.Fatalf("the verb exits with %d\n%s%s", code, out.String(), wrong.String())
	}
	t.Logf("suggested:\n%s", out.String())
	return out.String()
}

// TestStatefulServicesSuggested: without identifiers most of what two services with
// a state of their own answer differs, and Parallax says what to declare: first
// what all else hangs on, since a candidate that lets nobody in makes up no orders.
func TestStatefulServicesSuggested(t *testing.T) {
	t.Parallel()
	p := newPlay(t, false, "")
	p.crowd(t)
	_, _, diverged, _ := p.judged(t, "without identifiers")
	if share := float64(diverged) / float64(p.sent); share <= 0.6 {
		t.Errorf("%.1f %% of exchanges diverge without identifiers; want more than 60 %%", 100*share)
	}
	var declared strings.Builder
	declared.WriteString("  identifiers:\n")
	for line := range strings.Lines(p.suggested(t)) {
		if strings.HasPrefix(line, "- ") {
			declared.WriteString("  " + line)
		}
	}
	for _, want := range []string{"name: user, from: [\"POST /users $.id\"]", "name: token, from: [\"POST /login $.token\"], in: [\"header:Authorization\"]"} {
		if !strings.Contains(declared.String(), want) {
			t.Errorf("%s is not suggested", want)
		}
	}
	again := newPlay(t, false, declared.String())
	again.crowd(t)
	again.judged(t, "with what was suggested")
	if got := again.suggested(t); !strings.Contains(got, `name: order, from: ["POST /orders $.id"`) || !strings.Contains(got, `"path:/orders/{id}"`) {
		t.Error("orders are not suggested once users are let in")
	}
}
