package shop_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop"
	"parallax/internal/rig"
)

// TestSlowAsksForEachItem counts how often a page of orders looks up articles: with
// the defect once for each item, else not at all.
func TestSlowAsksForEachItem(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, defects := range [][]string{nil, {"slow"}} {
		name := "shop" + strings.Join(defects, "")
		o := open(t, shop.Options{Version: shop.New, DSN: database(t, server, name), Defects: defects})
		o.ask("POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`)
		_, text := o.ask("POST", "/sessions", `{"email":"ada@example.com","password":"analytical engine"}`)
		token := []string{"Authorization", "Bearer " + field(text, "token")}
		const orders, items = 20, 3
		for range orders {
			o.ask("POST", "/orders", order(`{"sku":"P-001","quantity":2},{"sku":"P-002","quantity":1},{"sku":"P-003","quantity":1}`), token...)
		}
		looks := func() (n int) {
			// Counts of a session are in the view once it has ended.
			server.SQL("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
			rig.Eventually(t, "the end of sessions", func() error {
				if left := server.SQL("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = '"+name+"'"); left != "0" {
					return fmt.Errorf("%s sessions", left)
				}
				return nil
			})
			fmt.Sscan(server.SQL(name, "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'articles'"), &n)
			return n
		}
		before := looks()
		rig.Eventually(t, "an answer by new connections", func() error {
			if answer, text := o.ask("GET", "/orders", "", token...); answer.StatusCode != http.StatusOK || strings.Count(text, `"placed_at"`) != orders {
				return fmt.Errorf("%s %.300s", answer.Status, text)
			}
			return nil
		})
		want := 0
		if defects != nil {
			want = orders * items
		}
		if n := looks() - before; n < want || want == 0 && n > 0 {
			t.Errorf("defects %v: %d looks at articles, want %d", defects, n, want)
		}
	}
}

// TestDatabaseMayBeAway: while it is, requests are answered 503, and afterwards as
// before, without a new start.
func TestDatabaseMayBeAway(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	o := open(t, shop.Options{Version: shop.Old, DSN: server.DSN("postgres")})
	o.shop(4, 2, 3)
	server.Kill()
	for _, target := range []string{"/healthz", "/products"} {
		if answer, text := o.ask("GET", target, ""); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s while the database is away: %s %s", target, answer.Status, text)
		}
	}
	server.Start()
	rig.Eventually(t, "health", func() error {
		if answer, text := o.ask("GET", "/healthz", ""); answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s", answer.Status, text)
		}
		return nil
	})
	o.shop(4, 2, 4)
}

// TestMigrationsAreAppliedOnce: also when several processes start at a time on one
// database, and when a shop starts again.
func TestMigrationsAreAppliedOnce(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	dsn := server.DSN("postgres")
	for range 2 {
		var starting sync.WaitGroup
		for _, o := range []shop.Options{{Version: shop.Old}, {Version: shop.New, Data: shop.Shared}, {Version: shop.Old}} {
			o.DSN, o.IDs, o.Data = dsn, shop.Own, cmp.Or(o.Data, shop.Own)
			starting.Go(func() {
				s, err := shop.Open(t.Context(), o)
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		starting.Wait()
	}
	if got := server.SQL("postgres", "SELECT string_agg(name, ' ' ORDER BY name) FROM shop_migrations"); got != "new/shared/0001_views.sql old/0001_schema.sql old/0002_products.sql" {
		t.Errorf("migrations are %s", got)
	}
}

// TestShutdownFinishesWhatIsUnderWay stops a shop in the middle of a request: the
// request is answered, and nothing is left.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	o := open(t, shop.Options{Version: shop.New, DSN: server.DSN("postgres")})
	o.ask("POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`)
	_, text := o.ask("POST", "/sessions", `{"email":"ada@example.com","password":"analytical engine"}`)
	token := field(text, "token")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- o.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()

	blocker, err := pgx.Connect(t.Context(), o.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(context.WithoutCancel(t.Context()))
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE inventory"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() {
		request, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/orders", strings.NewReader(order(`{"sku":"P-001","quantity":1}`)))
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		answered <- fmt.Sprint(answer.StatusCode, json.Valid(text))
	}()
	rig.Eventually(t, "the wait for the lock", func() error {
		if n := server.SQL("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted"); n != "1" {
			return fmt.Errorf("%s wait", n)
		}
		return nil
	})
	cancel()
	rig.Eventually(t, "the end of listening", func() error {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			conn.Close()
			return fmt.Errorf("it still listens")
		}
		return nil
	})
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != "201 true" {
		t.Errorf("what was under way ended with %s", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestOptionsHaveFaults: all of them are said at once, and no password with them.
func TestOptionsHaveFaults(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	_, err := shop.Open(t.Context(), shop.Options{Version: "newer", Data: "mine", IDs: "made", Tag: true, Comments: true, Defects: []string{"typo"}, Log: log})
	for _, want := range []string{`version: unknown word "newer"`, "dsn: it is missing", `data: unknown word "mine"`, `ids: unknown word "made"`, "tag, comments", `no defect "typo": write one of rounding, missing-audit`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in: %v", want, err)
		}
	}
	o := shop.Options{Version: shop.Old, Data: shop.Own, IDs: shop.Own, Defects: []string{"slow"}, DSN: "x", Log: log}
	if _, err := shop.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the old version has none") {
		t.Errorf("defects of the old version: %v", err)
	}
	o.Defects = nil
	for _, dsn := range []string{"postgres://ada:s3cret@127.0.0.1:1/shop?connect_timeout=1", "postgres://ada:s3cret@:x:/shop"} {
		o.DSN = dsn
		if _, err := shop.Open(t.Context(), o); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
	o.Getenv = func(string) string { return ":" }
	for _, mail := range []string{"mail.example", "ftp://mail.example", "http://mail.example"} {
		o.Mail = mail
		if _, err := shop.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "write a URL") {
			t.Errorf("mail %q: %v", mail, err)
		}
	}
}
