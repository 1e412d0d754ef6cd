package shop_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"parallax/cmd/demoshop/shop"
	"parallax/internal/rig"
)

// exchange and trace are what Parallax sends with the n-th request.
func exchange(n int) string { return fmt.Sprintf("0190aaaa-bbbb-7ccc-8ddd-%012x", n) }
func trace(n int) string    { return fmt.Sprintf("00-%032x-%016x-01", n+1, n+1) }

// visit does a little of everything that writes, each request with marks of its
// own, and returns how many there were.
func (o *opened) visit(headers ...string) int {
	o.t.Helper()
	n := 0
	do := func(method, target, body, token string) string {
		n++
		answer, text := o.ask(method, target, body, append(headers, "Authorization", "Bearer "+token,
			"X-Parallax-Exchange", exchange(n), "Traceparent", trace(n))...)
		if answer.StatusCode >= 300 {
			o.t.Fatalf("%s %s: %s %s", method, target, answer.Status, text)
		}
		return text
	}
	do("POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`, "")
	token := field(do("POST", "/sessions", `{"email":"ada@example.com","password":"analytical engine"}`, ""), "token")
	placed := do("POST", "/orders", order(`{"sku":"P-001","quantity":2},{"sku":"P-009","quantity":1}`), token)
	id := field(placed, "id")
	do("PATCH", "/orders/"+id, `{"items":[{"sku":"P-009","quantity":2}]}`, token)
	total := field(do("GET", "/orders/"+id, "", token), "total_cents")
	do("POST", "/orders/"+id+"/pay", `{"method":"card","amount_cents":`+total+`}`, token)
	id = field(do("POST", "/orders", order(`{"sku":"P-001","quantity":2}`), token), "id")
	do("POST", "/orders/"+id+"/cancel", "", token)
	do("DELETE", "/sessions", "", token)
	return n
}

// field reads the first value of a field out of JSON.
func field(text, name string) string {
	found := regexp.MustCompile(`"` + name + `":"?([^",}]*)`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// TestEveryTransactionIsTagged reads what the versions committed out of the log:
// each transaction with changes has one message, with the id of an exchange.
func TestEveryTransactionIsTagged(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, version := range []string{shop.Old, shop.New} {
		box := newPostbox(t)
		o := open(t, shop.Options{Version: version, DSN: database(t, server, version), Tag: true, Mail: box.url})
		server.SQL(version, "SELECT pg_create_logical_replication_slot('"+version+"', 'test_decoding')")
		requests := o.visit()
		changes, tags, tagged := 0, []string{}, map[string]bool{}
		for _, line := range query[string](t, o.dsn, "SELECT data FROM pg_logical_slot_get_changes($1, NULL, NULL)", version) {
			switch {
			case strings.HasPrefix(line, "BEGIN"):
				changes, tags = 0, nil
			case strings.HasPrefix(line, "table "):
				changes++
			case strings.HasPrefix(line, "message: transactional: 1 prefix: parallax, sz: 36 content:"):
				tags = append(tags, line[strings.LastIndex(line, ":")+1:])
			case strings.HasPrefix(line, "COMMIT") && changes > 0:
				if len(tags) != 1 {
					t.Errorf("%s: a transaction has the tags %v", version, tags)
				}
				for _, tag := range tags {
					tagged[tag] = true
				}
			}
		}
		if want := requests - 1; len(tagged) != want { // one only reads
			t.Errorf("%s: transactions of %d exchanges are tagged, want %d: %v", version, len(tagged), want, tagged)
		}
	}
}

// TestEveryStatementIsCommented has a trigger on each table keep the statements
// that change it: each carries the traceparent of its request, and there is no tag.
func TestEveryStatementIsCommented(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, version := range []string{shop.Old, shop.New} {
		box := newPostbox(t)
		o := open(t, shop.Options{Version: version, DSN: database(t, server, version), Comments: true, Mail: box.url})
		server.SQL(version, `
			SELECT pg_create_logical_replication_slot('`+version+`', 'test_decoding');
			CREATE TABLE statements (text text, tab text);
			CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO statements VALUES (current_query(), TG_TABLE_NAME); RETURN NULL; END $$;
			DO $$ DECLARE t text; BEGIN
				FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'statements' LOOP
					EXECUTE format('CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH STATEMENT EXECUTE FUNCTION keep()', t);
				END LOOP;
			END $$;`)
		requests := o.visit()
		traces := map[string]bool{}
		comment := regexp.MustCompile(` /\*traceparent='([0-9a-f-]{55})'\*/$`)
		for _, text := range query[string](t, o.dsn, "SELECT text FROM statements") {
			found := comment.FindStringSubmatch(text)
			if found == nil {
				t.Errorf("%s: no comment: %s", version, text)
				continue
			}
			traces[found[1]] = true
		}
		if len(traces) != requests-1 || !traces[trace(1)] {
			t.Errorf("%s: statements of %d requests are there, want %d: %v", version, len(traces), requests-1, traces)
		}
		if n := server.SQL(version, "SELECT count(*) FROM pg_logical_slot_get_changes('"+version+"', NULL, NULL) WHERE data LIKE 'message%'"); n != "0" {
			t.Errorf("%s: there are %s tags", version, n)
		}
	}
}

// TestMarksAreNoWayIn: what is no exchange id and no traceparent does not get near
// a statement.
func TestMarksAreNoWayIn(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, with := range []shop.Options{{Tag: true}, {Comments: true}} {
		with.Version, with.DSN = shop.Old, server.DSN("postgres")
		o := open(t, with)
		answer, text := o.ask("POST", "/customers", fmt.Sprintf(`{"email":"%v@example.com","name":"Eve","password":"drop the tables"}`, with.Tag),
			"Traceparent", "*/; DROP TABLE customers; /*", "X-Parallax-Exchange", "'); DROP TABLE customers; --")
		if answer.StatusCode != http.StatusCreated {
			t.Errorf("%s %s", answer.Status, text)
		}
	}
	if n := server.SQL("postgres", "SELECT count(*) FROM customers"); n != "2" {
		t.Errorf("there are %s customers", n)
	}
}

// TestDryShadowsWriteNothing: a dry shop answers a shadow as if it had done what it
// was asked, and has not. One that is not told that it is dry writes.
func TestDryShadowsWriteNothing(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, version := range []string{shop.Old, shop.New} {
		box := newPostbox(t)
		o := open(t, shop.Options{Version: version, DSN: database(t, server, version), Dry: true, Tag: true, Mail: box.url})
		live := func(method, target, body string, headers ...string) string {
			answer, text := o.ask(method, target, body, headers...)
			if answer.StatusCode >= 300 {
				t.Fatalf("%s %s: %s %s", method, target, answer.Status, text)
			}
			return text
		}
		live("POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`)
		token := "Bearer " + field(live("POST", "/sessions", `{"email":"ada@example.com","password":"analytical engine"}`), "token")
		placed := live("POST", "/orders", order(`{"sku":"P-001","quantity":2}`), "Authorization", token)
		position := server.SQL(version, "SELECT count(*) FROM pg_class") // the schema does not change either
		all := func() string {
			return server.SQL(version, `SELECT md5(string_agg(query_to_xml('SELECT * FROM ' || tablename, true, false, '')::text, '' ORDER BY tablename)) FROM pg_tables WHERE schemaname = 'public'`)
		}
		before := all()
		shadow := []string{"Authorization", token, "X-Parallax-Role", "shadow", "X-Parallax-Exchange", exchange(1)}
		id := field(placed, "id")
		for _, each := range [][3]string{
			{"POST", "/customers", `{"email":"eve@example.com","name":"Eve","password":"analytical engine"}`},
			{"POST", "/orders", order(`{"sku":"P-001","quantity":2}`)},
			{"PATCH", "/orders/" + id, `{"note":"never"}`},
			{"POST", "/orders/" + id + "/pay", `{"method":"card","amount_cents":` + field(placed, "total_cents") + `}`},
			{"POST", "/orders/" + id + "/cancel", ""},
			{"DELETE", "/sessions", ""},
		} {
			live(each[0], each[1], each[2], shadow...)
		}
		if after := all(); after != before || box.mails.Load() != 0 {
			t.Errorf("%s: a shadow has changed the tables, or sent one of %d mails", version, box.mails.Load())
		}
		if now := server.SQL(version, "SELECT count(*) FROM pg_class"); now != position {
			t.Errorf("%s: %s relations, %s before", version, now, position)
		}
		live("POST", "/orders/"+id+"/cancel", "", "Authorization", token)
		if all() == before {
			t.Errorf("%s: the test does not see changes", version)
		}
	}
}

// TestMailsGoThroughTheProxy: also to loopback addresses, and with what says which
// request they belong to. A mail that is refused fails nobody's payment.
func TestMailsGoThroughTheProxy(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	var asked atomic.Pointer[http.Request]
	status := http.StatusAccepted
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.WriteHeader(status)
	}))
	t.Cleanup(proxy.Close)
	const mail = "http://127.0.0.1:1/send"
	for _, version := range []string{shop.Old, shop.New} {
		for _, status = range []int{http.StatusAccepted, http.StatusForbidden} {
			name := fmt.Sprintf("%s%d", version, status)
			o := open(t, shop.Options{Version: version, DSN: database(t, server, name), Mail: mail,
				Getenv: func(name string) string { return map[string]string{"HTTP_PROXY": proxy.URL}[name] }})
			o.visit("Baggage", "tenant=north")
			r := asked.Swap(nil)
			if r == nil || r.URL.String() != mail || r.Method != http.MethodPost {
				t.Fatalf("%s: the proxy was asked for %v", name, r)
			}
			if r.Header.Get("Baggage") != "tenant=north" || r.Header.Get("Traceparent") != trace(6) || r.Header.Get("X-Parallax-Exchange") != exchange(6) { // the sixth request pays
				t.Errorf("%s: the mail has %v", name, r.Header)
			}
			table, column := "mails", "status"
			if version == shop.New {
				table, column = "messages", "state"
			}
			want := map[int]string{http.StatusAccepted: "sent", http.StatusForbidden: "failed"}[status]
			if got := server.SQL(name, "SELECT "+column+" FROM "+table); got != want {
				t.Errorf("%s: the mail is %q, want %q", name, got, want)
			}
		}
	}
}
