package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/reports"
)

// writer is a service that keeps orders in PostgreSQL and says in each transaction which
// exchange it is of. The new one names everything otherwise and counts from 9000.
type writer struct {
	db *pgxpool.Pool

	defects             bool          // does what the query asks for
	held                chan struct{} // until when ?defect=held does not answer
	server              *rig.PostgresServer
	url                 string
	insertOrder, insert string
	insertLast          string // an item of the order that was made last
}

func newWriter(t *testing.T, orders, items, total, order string, first int, defects bool) *writer {
	t.Helper()
	w := &writer{server: rig.Postgres(t), defects: defects, held: make(chan struct{}),
		insertOrder: fmt.Sprintf("insert into %s (sku, %s) values ($1, $2) returning id", orders, total),
		insert:      fmt.Sprintf("insert into %s (%s, sku) values ($1, $2)", items, order),
		insertLast:  fmt.Sprintf("insert into %s (%s, sku) select max(id), 'glue' from %s", items, order, orders)}
	w.server.SQL("postgres", fmt.Sprintf(`
		create table %[1]s (id int generated always as identity (start with %[5]d) primary key, sku text not null, %[3]s numeric(10,2) not null, updated_at timestamptz default clock_timestamp());
		create table %[2]s (id int generated always as identity (start with %[5]d) primary key, %[4]s int not null references %[1]s, sku text not null);`, orders, items, total, order, first))
	var err error
	if w.db, err = pgxpool.New(t.Context(), w.server.DSN("postgres")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", w.postOrder)
	mux.HandleFunc("POST /orders/{id}/items", w.postItem)
	mux.HandleFunc("POST /items", w.postLast)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// in runs f in a transaction that is tagged with the request's exchange.
func (w *writer) in(r *http.Request, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(context.WithoutCancel(r.Context()), w.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.Context(), "select pg_logical_emit_message(true, 'parallax', $1)", r.Header.Get("X-Parallax-Exchange")); err != nil {
			return err
		}
		return f(tx)
	})
}

func (w *writer) asked(r *http.Request, defect string) bool {
	return w.defects && r.URL.Query().Get("defect") == defect
}

func (w *writer) postOrder(rw http.ResponseWriter, r *http.Request) {
	total, id := "10.00", 0
	if w.asked(r, "rounding") {
		total = "9.99"
	}
	err := w.in(r, func(tx pgx.Tx) error {
		if err := tx.QueryRow(r.Context(), w.insertOrder, "pen", total).Scan(&id); err != nil || w.asked(r, "no_item") {
			return err
		}
		_, err := tx.Exec(r.Context(), w.insert, id, "ink")
		return err
	})
	if w.asked(r, "held") {
		<-w.held
	}
	answerID(rw, id, err)
}

func (w *writer) postLast(rw http.ResponseWriter, r *http.Request) {
	answerID(rw, 0, w.in(r, func(tx pgx.Tx) error {
		_, err := tx.Exec(r.Context(), w.insertLast)
		return err
	}))
}

func (w *writer) postItem(rw http.ResponseWriter, r *http.Request) {
	var id int
	_, err := fmt.Sscan(r.PathValue("id"), &id)
	if w.asked(r, "wrong_order") {
		id--
	}
	if err == nil {
		err = w.in(r, func(tx pgx.Tx) error {
			_, err := tx.Exec(r.Context(), w.insert, id, "paper")
			return err
		})
	}
	answerID(rw, 0, err)
}

func answerID(rw http.ResponseWriter, id int, err error) {
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusCreated)
	fmt.Fprintf(rw, `{"id":%d}`, id)
}

// effectsConfig is a service in front of two writers.
func effectsConfig(old, new *writer, settle string) string {
	return fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["POST /orders", "POST /orders/{id}/items", "POST /items"]
  mirror: { unsafe: allowed, timeout: 30s }
  identifiers: [{ name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}/items"] }]
  effects:
    primary:   [{ postgres: %q, tables: [orders, order_items] }]
    candidate: [{ postgres: %q, tables: [purchases, purchase_items] }]
    tables:
    - { primary: orders, candidate: purchases, columns: { total: amount }, ignore: [updated_at] }
    - { primary: order_items, candidate: purchase_items, columns: { order_id: purchase_id } }
    settle: %s
`, old.url, new.url, old.server.DSN("postgres"), new.server.DSN("postgres"), settle)
}

// untilRead waits until the databases of both legs are read.
func untilRead(t *testing.T, p *rig.Parallax) {
	t.Helper()
	rig.Eventually(t, "reading both databases", func() error {
		answer, err := http.Get(p.Admin + "/metrics")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		for _, leg := range []string{"primary", "candidate"} {
			if want := fmt.Sprintf(`parallax_effects_lag_seconds{leg=%q,service="shop"}`, leg); !strings.Contains(string(text), want) {
				return fmt.Errorf("there is no %s: %w", want, err)
			}
		}
		return nil
	})
}

// order creates an order and returns its id.
func order(t *testing.T, p *rig.Parallax, query string) int {
	t.Helper()
	var made struct{ ID int }
	if err := json.Unmarshal([]byte(call(t, p, "POST", "/orders"+query, "{}", 201)), &made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// divergedText says what diverged.
func divergedText(t *testing.T, p *rig.Parallax) string {
	t.Helper()
	var list struct{ Exchanges []divergence.ExchangeSummary }
	if err := p.JSON("/api/v1/services/shop/exchanges?outcome=diverged", &list); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, x := range list.Exchanges {
		var d json.RawMessage
		if err := p.JSON("/api/v1/services/shop/exchanges/"+x.ID, &d); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "\n%s", d)
	}
	return b.String()
}

// TestEffectsOfTwoDatabases: what two versions write to PostgreSQL databases of their own,
// with other names and numbers, is compared row by row; each defect is one issue with its
// table and column, and nothing else differs.
func TestEffectsOfTwoDatabases(t *testing.T) {
	t.Parallel()
	old := newWriter(t, "orders", "order_items", "total", "order_id", 1, false)
	new := newWriter(t, "purchases", "purchase_items", "amount", "purchase_id", 9000, true)
	p := rig.Start(t, effectsConfig(old, new, "200ms"))
	untilRead(t, p)
	for range 10 {
		call(t, p, "POST", fmt.Sprintf("/orders/%d/items", order(t, p, "")), "{}", 201)
	}
	r := settled(t, p, 20)
	if r.Accounting.Compared["match"] != 20 {
		t.Fatalf("without defects: %v %s", r.Accounting.Compared, divergedText(t, p))
	}
	old.server.SQL("postgres", "update orders set sku = 'pencil' where id = 1") // nobody asked for it
	order(t, p, "?defect=rounding")
	order(t, p, "?defect=no_item")
	call(t, p, "POST", fmt.Sprintf("/orders/%d/items?defect=wrong_order", order(t, p, "")), "{}", 201)
	r = settled(t, p, 24)
	if c := r.Accounting.Compared; c["match"] != 21 || c["diverged"] != 3 {
		t.Errorf("with defects: %v", c)
	}
	var issues struct {
		Issues []struct{ Path, Kind, Fingerprint string }
	}
	if err := p.JSON("/api/v1/services/shop/issues", &issues); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range issues.Issues {
		got = append(got, i.Path+" "+i.Kind)
	}
	slices.Sort(got)
	want := []string{"effects:order_items $.order_id changed", "effects:order_items missing", "effects:orders $.total changed"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("issues (-want +got)\n%s", d)
	}
	var list struct{ Exchanges []divergence.ExchangeSummary }
	if err := p.JSON("/api/v1/services/shop/exchanges?outcome=diverged&endpoint=POST+/orders", &list); err != nil || len(list.Exchanges) != 2 {
		t.Fatalf("%d exchanges diverged: %v", len(list.Exchanges), err)
	}
	var detail divergence.ExchangeDetail
	if err := p.JSON("/api/v1/services/shop/exchanges/"+list.Exchanges[1].ID, &detail); err != nil {
		t.Fatal(err)
	}
	if d := detail.Differences[0]; d.Path != "effects:orders[0] $.total" || d.Primary != "10.00" || d.Candidate != "9.99" {
		t.Errorf("the difference is %+v", d)
	}
	var tables []string
	for _, e := range detail.Effects {
		tables = append(tables, e.Leg+" "+e.Op+" "+e.Table+" "+e.Correlation)
	}
	if d := cmp.Diff([]string{"primary insert orders tag", "primary insert order_items tag", "candidate insert purchases tag", "candidate insert purchase_items tag"}, tables); d != "" {
		t.Errorf("effects (-want +got)\n%s", d)
	}
	rig.Eventually(t, "counts", func() error {
		var sum divergence.EffectsSummary
		if err := p.JSON("/api/v1/services/shop/effects", &sum); err != nil {
			return err
		}
		var got []string
		for _, c := range sum.Counts {
			got = append(got, fmt.Sprintf("%s %s %s %d", c.Leg, c.Table, c.Count, c.N))
		}
		if d := cmp.Diff([]string{"candidate purchase_items tag 23", "candidate purchases tag 13", "primary order_items tag 24", "primary orders tag 13", "primary orders unattributed 1"}, got); d != "" {
			return fmt.Errorf("counts (-want +got)\n%s", d)
		}
		return nil
	})
	if code := p.Stop(); code != 0 {
		t.Errorf("Parallax exits with %d", code)
	}
	for _, w := range []*writer{old, new} {
		if left := w.server.SQL("postgres", "select slot_name from pg_replication_slots"); left != "" {
			t.Errorf("slots are left: %s", left)
		}
	}
}

// TestRowsOfAnExchangeThatIsNotOverYet: a row that refers to one which the candidate made for
// a request that it still works on is compared once that is over, and its pair known. A
// reload meanwhile that leaves the databases as they are leaves no gap.
func TestRowsOfAnExchangeThatIsNotOverYet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := newWriter(t, "orders", "order_items", "total", "order_id", 1, false)
	new := newWriter(t, "purchases", "purchase_items", "amount", "purchase_id", 9000, true)
	p := rig.StartIn(t, dir, effectsConfig(old, new, "200ms\n    wait: 5m"))
	untilRead(t, p)
	order(t, p, "?defect=held")
	rig.Eventually(t, "the order of the candidate", func() error {
		if n := new.server.SQL("postgres", "select count(*) from purchases"); n != "1" {
			return fmt.Errorf("it has %s", n)
		}
		return nil
	})
	call(t, p, "POST", "/items", "{}", 201)
	rig.Eventually(t, "the item of the candidate", func() error {
		if n := new.server.SQL("postgres", "select count(*) from purchase_items where sku = 'glue'"); n != "1" {
			return fmt.Errorf("it has %s", n)
		}
		return nil
	})
	call(t, p, "POST", "/orders", "{}", 201) // names nothing of others
	rig.Eventually(t, "the exchange that waits for none", func() error {
		var r reports.Report
		if err := p.JSON("/api/v1/services/shop/report", &r); err != nil {
			return err
		}
		if n := r.Accounting.Compared["match"] + r.Accounting.Compared["diverged"]; n == 0 {
			return fmt.Errorf("compared: %v", r.Accounting.Compared)
		}
		return nil
	})
	rewrite(t, dir, effectsConfig(old, new, "300ms\n    wait: 6m\n    waiting: { exchanges: 100 }\n    log: { age: 5m }\n    verify: { min_age: 5s }")+fmt.Sprintf(`
  rules: [{ path: "effects:order_items $.note", ignore: true, reason: r, owner: o }]
- { name: cart, listen: "127.0.0.1:0", primary: { urls: [%q] } }
`, old.url))
	reload(t, p, 200)
	close(new.held)
	if r := settled(t, p, 3); r.Accounting.Compared["match"] != 3 {
		t.Errorf("compared: %v %s", r.Accounting.Compared, divergedText(t, p))
	}
	if n := strings.Count(p.Log(), "effects are read"); n != 2 {
		t.Errorf("reading began %d times, want once for each database", n)
	}
}

// TestEffectsUnknownWhileADatabaseIsAway: what nobody could read is never called good, and
// once the database is back everything is compared again.
func TestEffectsUnknownWhileADatabaseIsAway(t *testing.T) {
	t.Parallel()
	old := newWriter(t, "orders", "order_items", "total", "order_id", 1, false)
	new := newWriter(t, "purchases", "purchase_items", "amount", "purchase_id", 9000, true)
	p := rig.Start(t, effectsConfig(old, new, "200ms"))
	untilRead(t, p)
	const before = 8 // orders
	for range before {
		order(t, p, "")
	}
	settled(t, p, before)
	new.server.Kill()
	for range 3 {
		order(t, p, "") // the caller has the primary's answer
	}
	r := settled(t, p, before+3)
	// Nobody knows what the first one has left in the databases, so what is about the same is not compared either.
	got := endpoint(t, r, "POST /orders")
	if why := got.NotComparableReasons; got.Matched != before || got.Diverged > 0 || why["effects_unknown"] == 0 || why["effects_unknown"]+why["state_gap"] != 3 {
		t.Errorf("while it is away: %+v", got)
	}
	new.server.Start()
	tries := 0
	rig.Eventually(t, "a comparison of something else", func() error {
		tries++
		call(t, p, "POST", fmt.Sprintf("/orders/%d/items", 1+tries%before), "{}", http.StatusCreated)
		if err := p.JSON("/api/v1/services/shop/report", &r); err != nil {
			return err
		}
		for _, e := range r.Endpoints {
			if e.Endpoint == "POST /orders/{id}/items" && e.Matched > 0 {
				return nil
			}
		}
		return fmt.Errorf("%+v", r.Endpoints)
	})
	var v reports.Verdict
	rig.Eventually(t, "a verdict that holds", func() error {
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil || v.Decision == reports.Promote {
			return fmt.Errorf("verdict %q, %w", v.Decision, err)
		}
		if !slices.ContainsFunc(v.Reasons, func(r reports.Reason) bool { return r.Code == reports.EffectsUnknown }) {
			return fmt.Errorf("reasons %+v", v.Reasons)
		}
		return nil
	})
}

// TestShadowThatCommitsIsStopped: a candidate that is declared dry and commits all the same
// gets no more requests as a shadow, and the verdict says why.
func TestShadowThatCommitsIsStopped(t *testing.T) {
	t.Parallel()
	old := newWriter(t, "orders", "order_items", "total", "order_id", 1, false)
	new := newWriter(t, "purchases", "purchase_items", "amount", "purchase_id", 9000, true)
	p := rig.Start(t, strings.Replace(effectsConfig(old, new, "200ms"), "state: own", "state: dry", 1))
	untilRead(t, p)
	order(t, p, "")
	sent := int64(1)
	rig.Eventually(t, "a trip", func() error {
		order(t, p, "")
		sent++
		var r reports.Report
		if err := p.JSON("/api/v1/services/shop/report", &r); err != nil || r.Accounting.Unmirrored["tripped"] == 0 {
			return fmt.Errorf("accounting %+v, %w", r.Accounting, err)
		}
		return nil
	})
	settled(t, p, sent)
	made := new.server.SQL("postgres", "select count(*) from purchases")
	order(t, p, "")
	settled(t, p, sent+1)
	if now := new.server.SQL("postgres", "select count(*) from purchases"); now != made {
		t.Errorf("the candidate has %s orders after %s", now, made)
	}
	var v reports.Verdict
	rig.Eventually(t, "a verdict that says so", func() error {
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		if !slices.ContainsFunc(v.Reasons, func(r reports.Reason) bool { return strings.Contains(r.Detail, "has changed purchase") }) {
			return fmt.Errorf("reasons %+v", v.Reasons)
		}
		return nil
	})
}
