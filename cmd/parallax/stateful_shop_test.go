package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// keeper is a service with a state of its own: it makes up its users' and orders'
// numbers, its session tokens, ETags and cursors. Two of them do the same and call
// everything by other names.
type keeper struct {
	name string
	jwt  bool // tokens are JSON Web Tokens, signed with the keeper's own key

	mu      sync.Mutex
	next    int
	users   map[string]int // by token
	orders  map[int]*kept
	planted map[string]bool // flaws: wrong_key, stale_read
}

// kept is one order.
type kept struct {
	ID       int    `json:"id"`
	UserID   int    `json:"user_id"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	before   int    // the quantity before the last change
	revision int
}

// newKeeper starts a keeper. Its numbers go up from first by step.
func newKeeper(t *testing.T, name string, first int, jwt bool) (*keeper, string) {
	t.Helper()
	k := &keeper{name: name, jwt: jwt, next: first, users: map[string]int{}, orders: map[int]*kept{}, planted: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", k.register)
	mux.HandleFunc("POST /login", k.login)
	mux.HandleFunc("POST /orders", k.asked(k.create))
	mux.HandleFunc("GET /orders", k.asked(k.list))
	mux.HandleFunc("GET /orders/{id}", k.asked(k.read))
	mux.HandleFunc("PUT /orders/{id}", k.asked(k.change))
	mux.HandleFunc("DELETE /orders/{id}", k.asked(k.remove))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return k, s.URL
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // the caller may be gone
}

func (k *keeper) number() int {
	k.next++
	return k.next
}

func (k *keeper) register(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	reply(w, http.StatusCreated, map[string]int{"id": k.number()})
}

func (k *keeper) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		UserID int `json:"user_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": "no user"})
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	token := k.token(in.UserID)
	k.users[token] = in.UserID
	reply(w, http.StatusOK, map[string]string{"token": token})
}

// token makes a session token up.
func (k *keeper) token(user int) string {
	mac := hmac.New(sha256.New, []byte(k.name))
	if !k.jwt {
		fmt.Fprintf(mac, "session %d", k.number())
		return fmt.Sprintf("%x", mac.Sum(nil))
	}
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part(fmt.Appendf(nil, `{"iss":%q,"sub":"%d","jti":"%d"}`, k.name, user, k.number()))
	mac.Write([]byte(text))
	return text + "." + part(mac.Sum(nil))
}

// asked lets in who has a session, one at a time.
func (k *keeper) asked(then func(w http.ResponseWriter, r *http.Request, user int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		k.mu.Lock()
		defer k.mu.Unlock()
		if user, ok := k.users[token]; ok {
			then(w, r, user)
			return
		}
		reply(w, http.StatusUnauthorized, map[string]string{"error": "who are you?"})
	}
}

func (k *keeper) create(w http.ResponseWriter, r *http.Request, user int) {
	var in kept
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": "no order"})
		return
	}
	o := &kept{ID: k.number(), UserID: user, SKU: in.SKU, Quantity: in.Quantity, before: in.Quantity}
	k.orders[o.ID] = o
	w.Header().Set("Location", fmt.Sprintf("http://%s/orders/%d", r.Host, o.ID))
	reply(w, http.StatusCreated, k.shown(o))
}

// shown is an order as it is answered.
func (k *keeper) shown(o *kept) kept {
	out := *o
	if k.planted["wrong_key"] && o.SKU == "marked" {
		for _, other := range k.users {
			if other != o.UserID {
				out.UserID = other
				break
			}
		}
	}
	return out
}

// find returns the order that a request names.
func (k *keeper) find(w http.ResponseWriter, r *http.Request, user int) *kept {
	id, _ := strconv.Atoi(r.PathValue("id"))
	if o := k.orders[id]; o != nil && o.UserID == user {
		return o
	}
	reply(w, http.StatusNotFound, map[string]string{"error": "no such order"})
	return nil
}

func (k *keeper) read(w http.ResponseWriter, r *http.Request, user int) {
	o := k.find(w, r, user)
	if o == nil {
		return
	}
	tag := fmt.Sprintf(`"%s-%d-%d"`, k.name, o.ID, o.revision)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	out := k.shown(o)
	if k.planted["stale_read"] && o.SKU == "marked too" {
		out.Quantity = o.before
	}
	reply(w, http.StatusOK, out)
}

func (k *keeper) change(w http.ResponseWriter, r *http.Request, user int) {
	o := k.find(w, r, user)
	if o == nil {
		return
	}
	var in kept
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": "no order"})
		return
	}
	o.before, o.Quantity, o.revision = o.Quantity, in.Quantity, o.revision+1
	reply(w, http.StatusOK, k.shown(o))
}

func (k *keeper) remove(w http.ResponseWriter, r *http.Request, user int) {
	if o := k.find(w, r, user); o != nil {
		delete(k.orders, o.ID)
		w.WriteHeader(http.StatusNoContent)
	}
}

// list answers two orders at a time. A cursor is made up of the keeper's name and
// the order that the next page begins behind.
func (k *keeper) list(w http.ResponseWriter, r *http.Request, user int) {
	after := 0
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		text, _ := base64.RawURLEncoding.DecodeString(cursor)
		number, mine := strings.CutPrefix(string(text), k.name+" ")
		if after, _ = strconv.Atoi(number); !mine {
			reply(w, http.StatusBadRequest, map[string]string{"error": "not a cursor of this service"})
			return
		}
	}
	page := struct {
		Orders []kept `json:"orders"`
		Next   string `json:"next_cursor,omitempty"`
	}{Orders: []kept{}}
	var own []int
	for id, o := range k.orders {
		if o.UserID == user && id > after {
			own = append(own, id)
		}
	}
	slices.Sort(own)
	for i, id := range own {
		if i == 2 {
			page.Next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %d", k.name, own[1]))
			break
		}
		page.Orders = append(page.Orders, k.shown(k.orders[id]))
	}
	reply(w, http.StatusOK, page)
}
