package shoppers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// shopper is one customer.
type shopper struct {
	Options
	number int
	name   string
	random *rand.Rand
	limit  *rate.Limiter
	tally  *tally

	asked      int // requests so far
	registered bool
	token      string
	skus       []string
	orders     []order // the newest, last
}

// order is an order as its shopper remembers it.
type order struct {
	ID         int64  `json:"id"`
	Status     string `json:"status"`
	TotalCents int64  `json:"total_cents"`
	Items      []line `json:"items"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// remembered is how many orders a shopper keeps in mind.
const remembered = 20

// password is everybody's, so that runs may follow each other on one database.
const password = "correct horse battery"

// live is all that a shopper does.
func (s *shopper) live(ctx context.Context) {
	for visit := 0; ctx.Err() == nil && (s.Visits == 0 || visit < s.Visits); visit++ {
		if s.token == "" && !s.enter(ctx) {
			pause(ctx)
			continue
		}
		s.visit(ctx)
		if s.random.IntN(5) == 0 {
			s.leave(ctx)
		}
	}
}

// pause keeps shoppers from storming a shop that is closed.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

// enter registers, the first time, and logs in.
func (s *shopper) enter(ctx context.Context) bool {
	email := s.name + "@example.com"
	if !s.registered {
		s.registered = s.send(ctx, call{route: "POST /customers", body: map[string]string{"email": email, "name": s.name, "password": password},
			want: []int{http.StatusCreated, http.StatusConflict}}) // it was an earlier run
	}
	if s.random.IntN(10) == 0 {
		s.send(ctx, call{route: "POST /sessions", body: map[string]string{"email": email, "password": "wrong horse"}, want: []int{http.StatusUnauthorized}})
	}
	var session struct{ Token string }
	ok := s.send(ctx, call{route: "POST /sessions", body: map[string]string{"email": email, "password": password},
		want: []int{http.StatusCreated}, into: &session})
	s.token = session.Token
	return ok
}

// leave logs out.
func (s *shopper) leave(ctx context.Context) {
	s.send(ctx, call{route: "DELETE /sessions", want: []int{http.StatusNoContent}})
	s.token = ""
}

// visit is what a shopper does at a time: look, order, and do something about it.
func (s *shopper) visit(ctx context.Context) {
	if s.skus == nil || s.random.IntN(4) == 0 {
		s.look(ctx)
	}
	if len(s.skus) == 0 {
		return // the shop did not answer
	}
	bought := s.buy(ctx)
	if s.random.IntN(3) == 0 {
		s.browse(ctx)
	}
	if s.random.IntN(8) == 0 {
		s.mistake(ctx)
	}
	if !bought {
		return
	}
	o := &s.orders[len(s.orders)-1]
	s.read(ctx, o)
	if s.random.IntN(2) == 0 {
		s.change(ctx, o)
	}
	switch s.random.IntN(6) {
	case 0: // for later
	case 1, 2:
		s.act(ctx, o, "POST /orders/{id}/cancel", nil)
	default:
		s.act(ctx, o, "POST /orders/{id}/pay", map[string]any{"method": s.pick("card", "invoice"), "amount_cents": o.TotalCents})
	}
	if s.random.IntN(3) == 0 {
		s.read(ctx, &s.orders[s.random.IntN(len(s.orders))])
	}
}

// look reads the catalogue.
func (s *shopper) look(ctx context.Context) {
	var list struct {
		Products []struct {
			SKU       string
			Available bool
		}
	}
	if !s.send(ctx, call{route: "GET /products", want: []int{http.StatusOK}, into: &list}) {
		return
	}
	s.skus = s.skus[:0]
	for _, p := range list.Products {
		if p.Available {
			s.skus = append(s.skus, p.SKU)
		}
	}
}

// buy places an order of one product to five.
func (s *shopper) buy(ctx context.Context) bool {
	var items []line
	for _, at := range s.random.Perm(len(s.skus))[:min(len(s.skus), 1+s.random.IntN(5))] {
		items = append(items, line{s.skus[at], 1 + s.random.Int64N(4)})
	}
	var o order
	ok := s.send(ctx, call{route: "POST /orders", want: []int{http.StatusCreated}, into: &o, body: map[string]any{
		"items": items, "note": s.note(), "address": s.address(), "tags": s.tags(),
	}})
	if !ok {
		return false
	}
	if len(s.orders) == remembered {
		s.orders = slices.Delete(s.orders, 0, 1)
	}
	s.orders = append(s.orders, o)
	return true
}

// read looks at an order.
func (s *shopper) read(ctx context.Context, o *order) {
	s.send(ctx, call{route: "GET /orders/{id}", id: o.ID, want: []int{http.StatusOK}})
}

// browse reads the first pages of the orders.
func (s *shopper) browse(ctx context.Context) {
	limit := s.pick("", "5", "10")
	cursor := ""
	for range 3 {
		query := ""
		if limit != "" {
			query = "&limit=" + limit
		}
		if cursor != "" {
			query += "&cursor=" + cursor
		}
		var page struct {
			Next string `json:"next_cursor"`
		}
		if !s.send(ctx, call{route: "GET /orders", query: strings.TrimPrefix(query, "&"), want: []int{http.StatusOK}, into: &page}) || page.Next == "" {
			return
		}
		cursor = page.Next
	}
}

// change changes quantities, the note or the address of an order.
func (s *shopper) change(ctx context.Context, o *order) {
	body := map[string]any{}
	switch s.random.IntN(3) {
	case 0:
		var items []line
		for _, i := range o.Items[:1+s.random.IntN(len(o.Items))] {
			items = append(items, line{i.SKU, 1 + s.random.Int64N(4)})
		}
		body["items"] = items
	case 1:
		body["note"] = s.note()
	default:
		body["address"] = s.address()
	}
	s.send(ctx, call{route: "PATCH /orders/{id}", id: o.ID, body: body, want: []int{http.StatusOK}, into: o})
}

// act pays or cancels an order.
func (s *shopper) act(ctx context.Context, o *order, route string, body any) {
	s.send(ctx, call{route: route, id: o.ID, body: body, want: []int{http.StatusOK}, into: o})
}

// mistake asks for something that cannot be had.
func (s *shopper) mistake(ctx context.Context) {
	switch s.random.IntN(4) {
	case 0:
		s.send(ctx, call{route: "POST /orders", want: []int{http.StatusConflict}, body: map[string]any{
			"items": []line{{s.skus[0], 1}, {"P-SOLD-OUT", 1}}, "note": "", "address": s.address(), "tags": []string{},
		}})
	case 1:
		s.send(ctx, call{route: "POST /orders", want: []int{http.StatusUnprocessableEntity}, body: map[string]any{
			"items": []line{{"P-NO-SUCH", 1}}, "note": "", "address": s.address(), "tags": []string{},
		}})
	case 2:
		token := s.token
		s.token = ""
		s.send(ctx, call{route: "GET /orders", want: []int{http.StatusUnauthorized}})
		s.token = token
	default:
		for i := range s.orders {
			if o := &s.orders[i]; o.Status != "placed" {
				s.send(ctx, call{route: "POST /orders/{id}/cancel", id: o.ID, want: []int{http.StatusConflict}})
				return
			}
		}
	}
}

// note is mostly short, and sometimes so long that PostgreSQL keeps it apart from
// its row.
func (s *shopper) note() string {
	if s.random.IntN(10) > 0 {
		return s.pick("", "please ring twice", "leave it with the neighbours", "Für Elise — ♫")
	}
	const letters = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789"
	text := make([]byte, 4000)
	for i := range text {
		text[i] = letters[s.random.IntN(len(letters))]
	}
	return string(text)
}

func (s *shopper) address() map[string]string {
	return map[string]string{
		"name": s.name, "street": fmt.Sprintf("%s %d", s.pick("Hauptstraße", "Rue Haute", "Main Street"), 1+s.random.IntN(200)),
		"postcode": fmt.Sprintf("%05d", s.random.IntN(100_000)), "city": s.pick("Köln", "Lyon", "Graz"), "country": s.pick("DE", "FR", "AT"),
	}
}

func (s *shopper) tags() []string {
	out := []string{}
	for _, tag := range []string{"gift", "express", "b2b, net 30"} {
		if s.random.IntN(4) == 0 {
			out = append(out, tag)
		}
	}
	return out
}

func (s *shopper) pick(from ...string) string { return from[s.random.IntN(len(from))] }

// call is one request.
type call struct {
	route string // GET /orders/{id}
	id    int64
	query string
	body  any
	want  []int // statuses that are right
	into  any   // what the answer is read into
}

// send waits for the shopper's turn, sends a request, and tells whether the answer
// is the wanted one.
func (s *shopper) send(ctx context.Context, c call) bool {
	if s.limit.Wait(ctx) != nil {
		return false // the run is over
	}
	method, path, _ := strings.Cut(c.route, " ")
	a := Answer{Shopper: s.number, Method: method, Route: c.route, Target: strings.Replace(path, "{id}", fmt.Sprint(c.id), 1)}
	if c.query != "" {
		a.Target += "?" + c.query
	}
	began := time.Now()
	text, err := s.ask(&a, c)
	a.Waited = time.Since(began)
	if err == nil && !slices.Contains(c.want, a.Status) {
		err = fmt.Errorf("status %d, want %v: %.200s", a.Status, c.want, text)
	}
	if err == nil && c.into != nil {
		err = json.Unmarshal(text, c.into)
	}
	if err != nil {
		a.Err = fmt.Errorf("%s: %s %s: %w", s.name, a.Method, a.Target, err)
	}
	if err != nil && a.Status == http.StatusUnauthorized {
		s.token = "" // the session is gone: log in again
	}
	s.tally.add(a)
	return err == nil
}

// patience is how long a shopper waits for an answer.
const patience = 30 * time.Second

// ask sends one request, and reads the answer. It is finished even when the run
// ends meanwhile.
func (s *shopper) ask(a *Answer, c call) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var body io.Reader = http.NoBody
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = strings.NewReader(string(text))
	}
	request, err := http.NewRequestWithContext(ctx, a.Method, s.Base+a.Target, body)
	if err != nil {
		return nil, err
	}
	s.asked++
	request.Header.Set("X-User", s.name)
	request.Header.Set("User-Agent", "shoppers")
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.Method != http.MethodGet {
		request.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", s.name, s.asked))
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.HTTP.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	a.Status = response.StatusCode
	text, err = io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	return text, nil
}
