package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// stateful is a shop that makes up its own order numbers, session tokens, ETags and
// cursors. name and first tell two of them apart.
type stateful struct {
	*httptest.Server
	name string

	mu     sync.Mutex
	next   int
	orders map[string]map[string]any
	users  map[string]string // by token
	hold   chan struct{}     // orders are not answered before it is closed; nil: at once
	status int               // what orders are answered with; 0: as they should
}

func newStateful(t *testing.T, name string, first int) *stateful {
	s := &stateful{name: name, next: first, orders: map[string]map[string]any{}, users: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /orders", s.create)
	mux.HandleFunc("GET /orders/{id}", s.read)
	mux.HandleFunc("PUT /orders/{id}", s.change)
	mux.HandleFunc("GET /orders", s.list)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *stateful) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may be gone
}

func (s *stateful) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

func (s *stateful) login(w http.ResponseWriter, r *http.Request) {
	token := fmt.Sprintf("%s-token-%d", s.name, s.number())
	user, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.users[token] = string(user)
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: token})
	s.answer(w, 200, map[string]any{"token": token})
}

// user returns who asks, by token or cookie; "" for nobody.
func (s *stateful) user(w http.ResponseWriter, r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("sid"); err == nil {
		token = c.Value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[token] == "" {
		w.WriteHeader(401)
	}
	return s.users[token]
}

func (s *stateful) create(w http.ResponseWriter, r *http.Request) {
	user := s.user(w, r)
	if user == "" {
		return
	}
	s.mu.Lock()
	hold, status := s.hold, s.status
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	var order map[string]any
	if json.NewDecoder(r.Body).Decode(&order) != nil {
		w.WriteHeader(400)
		return
	}
	n := s.number()
	id := strconv.Itoa(n)
	order["id"], order["user"], order["etag"] = n, user, fmt.Sprintf(`"%s-%d"`, s.name, n)
	s.mu.Lock()
	s.orders[id] = order
	s.mu.Unlock()
	w.Header().Set("Location", s.URL+"/orders/"+id)
	s.answer(w, 201, order)
}

func (s *stateful) read(w http.ResponseWriter, r *http.Request) {
	user := s.user(w, r)
	if user == "" {
		return
	}
	s.mu.Lock()
	order := s.orders[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case order == nil || order["user"] != user:
		w.WriteHeader(404)
	case r.Header.Get("If-None-Match") == order["etag"]:
		w.Header().Set("ETag", order["etag"].(string))
		w.WriteHeader(304)
	default:
		w.Header().Set("ETag", order["etag"].(string))
		s.answer(w, 200, order)
	}
}

// change takes a quantity and the order it replaces, in a form.
func (s *stateful) change(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.orders[r.PathValue("id")]
	if order == nil || r.FormValue("order_id") != r.PathValue("id") {
		w.WriteHeader(409)
		return
	}
	s.answer(w, 200, map[string]any{"order_id": order["id"], "quantity": r.FormValue("quantity")})
}

func (s *stateful) list(w http.ResponseWriter, r *http.Request) {
	switch cursor := r.FormValue("cursor"); cursor {
	case "":
		s.answer(w, 200, map[string]any{"next_cursor": s.name + "-page-2"})
	case s.name + "-page-2":
		s.answer(w, 200, map[string]any{})
	default:
		w.WriteHeader(400)
	}
}

// withIdentifiers is a service with two shops whose legs keep databases of their own.
func withIdentifiers(primary, candidate string) mirror.Service {
	cfg := pair(primary, candidate, mirror.Own)
	cfg.Endpoints = []string{"POST /login", "POST /orders", "GET /orders", "GET /orders/{id}", "PUT /orders/{id}"}
	cfg.Identifiers = []ids.Config{
		{Name: "order", From: ids.At("POST /orders $.id", "POST /orders location:/orders/{id}"), In: ids.At("path:/orders/{id}", "$.order_id")},
		{Name: "token", From: ids.At("POST /login $.token", "POST /login cookie:sid"), In: ids.At("header:Authorization", "cookie:sid")},
	}
	return cfg
}

func idOf(t testing.TB, body string) string {
	t.Helper()
	var order struct{ ID int }
	if err := json.Unmarshal([]byte(body), &order); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return strconv.Itoa(order.ID)
}

// session does what a user does, and returns how many requests that were.
func (r *rig) session(user int, cookie bool) int {
	_, body := r.do("POST", "/login", fmt.Sprintf("user-%d", user))
	var login struct{ Token string }
	if err := json.Unmarshal([]byte(body), &login); err != nil {
		r.t.Errorf("login: %q", body)
		return 1
	}
	who := "Authorization: Bearer " + login.Token
	if cookie {
		who = "Cookie: a=b; sid=" + login.Token
	}
	name := fmt.Sprintf("X-User: user-%d", user)
	_, body = r.do("POST", "/orders", `{"sku": "a", "quantity" : 17}`, who, name, "Content-Type: application/json")
	id := idOf(r.t, body)
	res, _ := r.do("GET", "/orders/"+id, "", who, name)
	if res.StatusCode != 200 {
		r.t.Errorf("the order was not read back: %d", res.StatusCode)
	}
	r.do("GET", "/orders/"+id, "", who, name, "If-None-Match: "+res.Header.Get("ETag"))
	r.do("PUT", "/orders/"+id, "quantity=17&order_id="+id, who, name, "Content-Type: application/x-www-form-urlencoded")
	_, body = r.do("GET", "/orders", "", who, name)
	var page struct {
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		r.t.Errorf("list: %q", body)
	}
	r.do("GET", "/orders?cursor="+page.Next, "", who, name)
	return 7
}

// sameStatus checks that all legs answered n exchanges alike, and that nothing was
// unmapped.
func (r *rig) sameStatus(n int) {
	r.t.Helper()
	for range n {
		x := r.next()
		if len(x.Unmapped) > 0 {
			r.t.Errorf("%s: unmapped %v", x.Legs[0].Request.Target, x.Unmapped)
		}
		for l, c := range x.Legs {
			if c != nil && c.Response.Status != x.Legs[x.Live].Response.Status {
				r.t.Errorf("%s: %s answered %d (%v) to %s, live %d", x.Endpoint, parallax.Leg(l), c.Response.Status, c.Err, c.Request.Target, x.Legs[x.Live].Response.Status)
			}
		}
	}
}

func TestStatefulServicesWithTheirOwnIdentifiers(t *testing.T) {
	t.Parallel()
	f := func(name, order string, secondary bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
			cfg := withIdentifiers(primary.URL, candidate.URL)
			cfg.Mirror.OrderBy = order
			if secondary {
				cfg.Secondary = at(newStateful(t, "second", 500).URL, mirror.Own)
			}
			r := start(t, cfg)
			var users sync.WaitGroup
			for user := range 50 {
				users.Go(func() { r.session(user, user%2 == 0) })
			}
			users.Wait()
			r.sameStatus(50 * 7)
			candidate.mu.Lock()
			defer candidate.mu.Unlock()
			for id, order := range candidate.orders {
				if order["quantity"] != 17.0 {
					t.Errorf("order %s of the candidate has a quantity of %v", id, order["quantity"])
				}
			}
		})
	}
	f("at once", "", false)
	f("in order", "header:X-User", false)
	f("with a secondary", "", true)
}

func TestOnlyNamedPlacesOfARequestChange(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	r := start(t, withIdentifiers(primary.URL, candidate.URL))
	r.session(1, false)
	for range 7 {
		x := r.next()
		p, c := x.Legs[parallax.Primary].Request, x.Legs[parallax.Candidate].Request
		switch x.Endpoint {
		case "POST /orders":
			if diff := cmp.Diff(p.Body.Bytes, c.Body.Bytes); diff != "" {
				t.Error(diff)
			}
		case "PUT /orders/{id}":
			if got := string(c.Body.Bytes); p.Target != "/orders/18" || c.Target != "/orders/9002" || got != "quantity=17&order_id=9002" {
				t.Errorf("%s %s", c.Target, got)
			}
		}
	}
}

func TestARequestWaitsForAnIdentifierThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	candidate.hold = make(chan struct{})
	r := start(t, withIdentifiers(primary.URL, candidate.URL))
	_, body := r.do("POST", "/login", "ann")
	var login struct{ Token string }
	_ = json.Unmarshal([]byte(body), &login)
	who := "Authorization: Bearer " + login.Token
	_, body = r.do("POST", "/orders", `{}`, who, "Content-Type: application/json")
	id := idOf(t, body)
	// The primary's caller has the order, the candidate has not made it yet.
	if res, _ := r.do("GET", "/orders/"+id, "", who); res.StatusCode != 200 {
		t.Fatalf("the caller waited or failed: %d", res.StatusCode)
	}
	r.atShadows(2)
	close(candidate.hold)
	r.sameStatus(3)
}

func TestAnIdentifierThatTheOtherLegNeverMakesIsUnmappedAtOnce(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	candidate.status = 500
	cfg := withIdentifiers(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Minute // nobody waits for as long
	r := start(t, cfg)
	_, body := r.do("POST", "/login", "ann")
	var login struct{ Token string }
	_ = json.Unmarshal([]byte(body), &login)
	who := "Authorization: Bearer " + login.Token
	_, body = r.do("POST", "/orders", `{}`, who, "Content-Type: application/json")
	id := idOf(t, body)
	r.do("GET", "/orders/"+id, "", who)
	r.do("PUT", "/orders/"+id, "order_id="+id, who, "Content-Type: application/x-www-form-urlencoded")
	unmapped := map[string][]string{}
	for range 4 {
		x := r.next()
		unmapped[x.Endpoint] = x.Unmapped
		if c := x.Legs[parallax.Candidate]; x.Endpoint == "PUT /orders/{id}" && c.Err.Kind != parallax.NotAsked {
			t.Errorf("a write to an order that is another's on the candidate was sent: %v", c.Response.Status)
		}
	}
	want := map[string][]string{"POST /login": nil, "POST /orders": nil, "GET /orders/{id}": {"order"}, "PUT /orders/{id}": {"order"}}
	if diff := cmp.Diff(want, unmapped); diff != "" {
		t.Error(diff)
	}
}

func TestACopyOfTheDataStandsForItself(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := withIdentifiers(primary.URL, candidate.URL)
	r := start(t, cfg)
	r.do("GET", "/orders/3", "")
	if x := r.next(); !cmp.Equal(x.Unmapped, []string{"order"}) {
		t.Errorf("unmapped: %v", x.Unmapped)
	}
	cfg.Identifiers[0].Unmapped = ids.UnmappedSame
	r = start(t, cfg)
	r.do("GET", "/orders/3", "")
	if x := r.next(); x.Unmapped != nil || x.Legs[parallax.Candidate].Request.Target != "/orders/3" {
		t.Errorf("unmapped: %v", x.Unmapped)
	}
}

func TestIdentifiersWhenTheCandidateIsLive(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	cfg := withIdentifiers(primary.URL, candidate.URL)
	cfg.Split.Key, cfg.Split.Salt, cfg.Split.Endpoints = "ip", "s", []string{"* /*"}
	r := start(t, cfg)
	r.Mirror.Split().SetStep(10_000)
	r.do("GET", "/orders", "")
	r.next()
	r.do("GET", "/orders?cursor=new-page-2", "")
	x := r.next()
	if p := x.Legs[parallax.Primary]; x.Live != parallax.Candidate || p.Request.Target != "/orders?cursor=old-page-2" || p.Response.Status != 200 {
		t.Errorf("live %s, the primary answered %d to %s", x.Live, p.Response.Status, p.Request.Target)
	}
}

// TestACursorThatNobodyPaired stands for itself where the legs write theirs alike, and nowhere
// else: that of an answer which was not mirrored is as good as any.
func TestACursorThatNobodyPaired(t *testing.T) {
	t.Parallel()
	for candidate, want := range map[string][]string{"old": nil, "new": {ids.Cursor}} {
		r := start(t, withIdentifiers(newStateful(t, "old", 16).URL, newStateful(t, candidate, 9000).URL))
		r.do("GET", "/orders?cursor=somewhere", "")
		if x := r.next(); len(x.Unmapped) > 0 {
			t.Errorf("%s: before any pair is known: unmapped %v", candidate, x.Unmapped)
		}
		r.do("GET", "/orders", "")
		r.next()
		r.do("GET", "/orders?cursor=somewhere", "")
		if x := r.next(); !slices.Equal(x.Unmapped, want) {
			t.Errorf("%s: unmapped %v, want %v", candidate, x.Unmapped, want)
		}
	}
}

func TestIdentifiersOfReplayedRequests(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	cfg := withIdentifiers(primary.URL, candidate.URL)
	cfg.Primary.State = mirror.Own
	r := start(t, cfg)
	replay := func(method, target, body string) *parallax.Exchange {
		t.Helper()
		done := make(chan struct{})
		fields := []parallax.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "Bearer old-token-17"}}
		if err := r.Mirror.Replay(mirror.Recorded{Method: method, Target: target, Body: []byte(body), Headers: fields}, func() { close(done) }); err != nil {
			t.Fatal(err)
		}
		<-done
		return r.next()
	}
	replay("POST", "/login", "ann") // the token of the recording is unknown by now
	replay("POST", "/orders", `{}`)
	x := replay("GET", "/orders/18", "")
	if c := x.Legs[parallax.Candidate]; len(x.Unmapped) > 0 || c.Request.Target != "/orders/9002" || c.Response.Status != 200 {
		t.Errorf("unmapped %v, %s: %d", x.Unmapped, c.Request.Target, c.Response.Status)
	}
	if x := replay("GET", "/orders/99", ""); !cmp.Equal(x.Unmapped, []string{"order"}) {
		t.Errorf("unmapped %v", x.Unmapped)
	}
}

// TestIdentifiersHoldUpNoCaller: a candidate that hangs, and a map that does, cost
// callers nothing.
func TestIdentifiersHoldUpNoCaller(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := withIdentifiers(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Second
	r := start(t, cfg, func(d *mirror.Deps) { d.IDs = func(string, func(string)) ids.Map { return hanging{} } })
	done := make(chan int)
	go func() { done <- r.session(1, false) }()
	select {
	case n := <-done:
		r.settled(n)
	case <-time.After(20 * time.Second):
		t.Fatal("a caller waits for identifiers")
	}
}

// hanging is a map that answers nothing before it is given up.
type hanging struct{}

func (hanging) Learn(ctx context.Context, _ ...ids.Fact) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) Find(ctx context.Context, _ ...ids.Ref) ([]ids.Entry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) Await(ctx context.Context, _ ids.Ref, _ parallax.Leg) (ids.Partner, error) {
	<-ctx.Done()
	return ids.Partner{}, ctx.Err()
}
