package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/internal/rig"
)

// teller is a service that tells what it writes as Debezium would, and its mails in plain
// envelopes. No database is behind it.
type teller struct {
	t    *testing.T
	leg  string
	tell func(r *http.Request, order int, total string) string // the events of a transaction

	mu    sync.Mutex
	admin string
	next  int
}

func newTeller(t *testing.T, leg string, first int, tell func(*http.Request, int, string) string) (*teller, string) {
	w := &teller{t: t, leg: leg, next: first, tell: tell}
	server := httptest.NewServer(http.HandlerFunc(w.postOrder))
	t.Cleanup(server.Close)
	return w, server.URL
}

func (w *teller) postOrder(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.next++
	id := w.next
	w.mu.Unlock()
	defect := ""
	if w.leg == "candidate" {
		defect = r.URL.Query().Get("defect")
	}
	total := "10.00"
	if defect == "rounding" {
		total = "9.99"
	}
	w.send(w.tell(r, id, total))
	mails := 1
	if defect == "mail" {
		mails = 2
	}
	for range mails {
		w.send(fmt.Sprintf(`{"exchange":%q,"sink":"mail","op":"send","key":"ann@example.org","value":{"subject":"Thank you"}}`, r.Header.Get("X-Parallax-Exchange")))
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusCreated)
	fmt.Fprint(rw, `{"ok":true}`)
}

// send sends a body, and fails the test unless it is taken.
func (w *teller) send(body string) {
	w.mu.Lock()
	admin := w.admin
	w.mu.Unlock()
	answer, err := http.Post(admin+"/api/v1/effects/shop/"+w.leg, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusAccepted {
		w.t.Errorf("%s: %s\n%s", body, answer.Status, text)
	}
}

// asMariaDB tells an order and its item by GTID, the traceparent in the statement.
func asMariaDB(r *http.Request, id int, total string) string {
	source := func(table string, pos int) string {
		return fmt.Sprintf(`{"connector":"mariadb","name":"legacy","ts_ms":%d,"db":"inventory","table":%q,"gtid":"0-1-%d","file":"b.000001","pos":%d,"row":0,"query":"insert into %s values (..) /*traceparent='%s'*/"}`,
			time.Now().UnixMilli(), table, id, 1000*id+pos, table, r.Header.Get("traceparent"))
	}
	tx := func(order int) string {
		return fmt.Sprintf(`{"id":"0-1-%d","total_order":%d,"data_collection_order":1}`, id, order)
	}
	order := fmt.Sprintf(`{"op":"c","before":null,"after":{"id":%d,"total":%s},"source":%s,"transaction":%s}`, id, total, source("orders", 1), tx(1))
	item := fmt.Sprintf(`{"op":"c","before":null,"after":{"id":%d,"order_id":%d,"sku":"ink"},"source":%s,"transaction":%s}`, id, id, source("items", 2), tx(2))
	end := fmt.Sprintf(`{"status":"END","id":"0-1-%d","event_count":2,"data_collections":[]}`, id)
	return "[" + strings.Join([]string{end, item, order, order}, ",") + "]" // out of order, and one twice
}

// asPostgres tells the same by a tag, with other names, and decimals in bytes.
func asPostgres(r *http.Request, id int, total string) string {
	source := func(table string, lsn int) string {
		return fmt.Sprintf(`{"connector":"postgresql","name":"new","ts_ms":%d,"schema":"public","table":%q,"txId":%d,"lsn":%d}`, time.Now().UnixMilli(), table, id, 1000*id+lsn)
	}
	tx := func(order int) string {
		return fmt.Sprintf(`{"id":"%d:1","total_order":%d,"data_collection_order":1}`, id, order)
	}
	cents := map[string][]byte{"10.00": {0x03, 0xe8}, "9.99": {0x03, 0xe7}}[total]
	schema := `{"type":"struct","fields":[{"field":"after","type":"struct","fields":[{"field":"id","type":"int32"},{"field":"amount","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}]}]}`
	tag := fmt.Sprintf(`{"op":"m","source":%s,"transaction":%s,"message":{"prefix":"parallax","content":%q}}`, source("", 0), tx(1), base64.StdEncoding.EncodeToString([]byte(r.Header.Get("X-Parallax-Exchange"))))
	order := fmt.Sprintf(`{"schema":%s,"payload":{"op":"c","before":null,"after":{"id":%d,"amount":%q},"source":%s,"transaction":%s}}`, schema, id, base64.StdEncoding.EncodeToString(cents), source("purchases", 1), tx(2))
	item := fmt.Sprintf(`{"op":"c","before":null,"after":{"id":%d,"purchase_id":%d,"sku":"ink"},"source":%s,"transaction":%s}`, id, id, source("items", 2), tx(3))
	end := fmt.Sprintf(`{"status":"END","id":"%d:1","event_count":3,"data_collections":[]}`, id)
	return "[" + strings.Join([]string{tag, order, item, end}, ",") + "]"
}

// TestEffectsThatAreSent: two versions whose databases Debezium reads, one MariaDB, one
// PostgreSQL, with other names and numbers, and mails that are told in plain envelopes.
// Without defects nothing differs; a wrong amount and a second mail are each found.
func TestEffectsThatAreSent(t *testing.T) {
	t.Parallel()
	old, oldURL := newTeller(t, "primary", 0, asMariaDB)
	new, newURL := newTeller(t, "candidate", 9000, asPostgres)
	p := rig.Start(t, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: contained, jobs: "off" }
  endpoints: ["POST /orders"]
  mirror: { unsafe: allowed, timeout: 30s }
  effects:
    primary:   [{ debezium: legacy, tables: [orders, items], keys: { orders: [id], items: [id] }, delay: 500ms }, { outbox: true, tables: [mail] }]
    candidate: [{ debezium: new, tables: [purchases, items], keys: { purchases: [id], items: [id] }, delay: 500ms }, { outbox: true, tables: [mail] }]
    tables:
    - { primary: orders, candidate: purchases, columns: { total: amount }, generated: [id] }
    - { primary: items, columns: { order_id: purchase_id }, generated: [id], references: { order_id: orders.id } }
    settle: 500ms
`, oldURL, newURL))
	old.admin, new.admin = p.Admin, p.Admin
	for _, w := range []*teller{old, new} {
		w.send(fmt.Sprintf(`{"ts_ms":%d}`, time.Now().UnixMilli()))
	}
	untilRead(t, p)
	for range 5 {
		call(t, p, "POST", "/orders", "{}", 201)
	}
	r := settled(t, p, 5)
	if r.Accounting.Compared["match"] != 5 {
		t.Fatalf("without defects: %v %s", r.Accounting.Compared, divergedText(t, p))
	}
	call(t, p, "POST", "/orders?defect=rounding", "{}", 201)
	call(t, p, "POST", "/orders?defect=mail", "{}", 201)
	r = settled(t, p, 7)
	if c := r.Accounting.Compared; c["match"] != 5 || c["diverged"] != 2 {
		t.Fatalf("with defects: %v %s", c, divergedText(t, p))
	}
	var issues struct {
		Issues []struct{ Path, Kind string }
	}
	if err := p.JSON("/api/v1/services/shop/issues", &issues); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range issues.Issues {
		got = append(got, i.Path+" "+i.Kind)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"effects:mail extra", "effects:orders $.total changed"}, got); diff != "" {
		t.Errorf("issues (-want +got)\n%s", diff)
	}
}
