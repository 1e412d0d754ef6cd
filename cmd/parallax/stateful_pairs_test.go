package main

import (
	"fmt"
	"slices"
	"testing"

	"parallax/divergence"
)

// statefulIdentifiers is what the keepers make up, as somebody declares it.
const statefulIdentifiers = `  identifiers:
  - { name: user, from: ["POST /users $.id"], in: ["POST /login $.user_id", "$.user_id", "$.orders[*].user_id"] }
  - { name: token, from: ["POST /login $.token"], in: ["header:Authorization"] }
  - { name: order, from: ["POST /orders $.id", "POST /orders location:/orders/{id}"], in: ["path:/orders/{id}", "GET /orders/{id} $.id", "PUT /orders/{id} $.id", "$.orders[*].id"] }
`

// TestStatefulServices: two services that make up their own numbers and tokens are
// compared by what these stand for. With identifiers nothing diverges and nothing
// is not comparable; then one wrong foreign key and one stale read are planted, and
// they are found, and nothing else.
func TestStatefulServices(t *testing.T) {
	t.Parallel()
	for name, jwt := range map[string]bool{"opaque tokens": false, "JSON Web Tokens": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, jwt, statefulIdentifiers)
			p.crowd(t)
			r, match, diverged, notComparable := p.judged(t, "with identifiers")
			if match != p.sent || diverged != 0 || notComparable != 0 {
				t.Errorf("%d of %d match; want all\n%+v", match, p.sent, r.Endpoints)
			}
			p.plantAndFind(t)
		})
	}
}

// plantAndFind plants two flaws, has their victims and another crowd live, and
// wants two issues.
func (p *play) plantAndFind(t *testing.T) {
	t.Helper()
	p.candidate.plant("wrong_key")
	p.candidate.plant("stale_read")
	u := &userOf{t: t, p: p, name: "victim"}
	var me struct{ ID int }
	u.do("POST", "/users", `{}`, 201, &me)
	var session struct{ Token string }
	u.do("POST", "/login", fmt.Sprintf(`{"user_id":%d}`, me.ID), 200, &session)
	u.token = session.Token
	u.do("POST", "/orders", `{"sku":"marked","quantity":1}`, 201, nil)
	var o kept
	u.do("POST", "/orders", `{"sku":"marked too","quantity":1}`, 201, &o)
	target := fmt.Sprintf("/orders/%d", o.ID)
	u.do("PUT", target, `{"quantity":2}`, 200, nil)
	u.do("GET", target, "", 200, nil)
	p.sent += u.sent
	p.crowd(t)
	_, _, diverged, notComparable := p.judged(t, "with a wrong foreign key and a stale read")
	if diverged != 2 || notComparable != 0 {
		t.Errorf("%d diverged, %d not comparable; want 2 and 0", diverged, notComparable)
	}
	var issues []divergence.Issue
	if err := jsonList(p.Parallax, "/api/v1/services/shop/issues", "issues", &issues); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, i := range issues {
		found = append(found, i.Endpoint+" "+i.Path)
	}
	slices.Sort(found)
	if want := []string{"GET /orders/{id} $.quantity", "POST /orders $.user_id"}; !slices.Equal(found, want) {
		t.Errorf("found %q; want %q", found, want)
	}
}

// plant makes the keeper wrong from now on.
func (k *keeper) plant(flaw string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.planted[flaw] = true
}
