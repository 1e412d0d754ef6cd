package shop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
)

// database makes an empty database on a server.
func database(t *testing.T, server *rig.PostgresServer, name string) string {
	t.Helper()
	server.SQL("postgres", "CREATE DATABASE "+name)
	return server.DSN(name)
}

// opened is a shop on a loopback port.
type opened struct {
	*shop.Shop
	t    testing.TB
	url  string
	dsn  string
	http *http.Transport
}

// open opens a shop until the test ends.
func open(t testing.TB, o shop.Options) *opened {
	t.Helper()
	if o.Data == "" {
		o.Data = shop.Own
	}
	if o.IDs == "" {
		o.IDs = shop.Own
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	var logs lockedBuffer
	o.Log = slog.New(slog.NewTextHandler(&logs, nil))
	s, err := shop.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	out := &opened{Shop: s, t: t, url: server.URL, dsn: o.DSN, http: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() {
		out.http.CloseIdleConnections()
		server.Close()
		s.Close()
		if t.Failed() {
			t.Logf("log of the %s shop:\n%s", o.Version, logs.String())
		}
	})
	return out
}

// ask sends a request and returns the answer with its body. Headers are names and
// values in turn.
func (o *opened) ask(method, target, body string, headers ...string) (*http.Response, string) {
	o.t.Helper()
	request, err := http.NewRequestWithContext(o.t.Context(), method, o.url+target, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := o.http.RoundTrip(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return answer, string(text)
}

// shop sends shoppers in and wants no complaints.
func (o *opened) shop(count, visits int, seed uint64) shoppers.Counts {
	o.t.Helper()
	seen := shoppers.Run(o.t.Context(), shoppers.Options{Base: o.url, Count: count, Visits: visits, Seed: seed, HTTP: o.http})
	if seen.Errors > 0 {
		o.t.Errorf("%d of %d requests went wrong: %s", seen.Errors, seen.Sent, strings.Join(seen.Examples, "\n"))
	}
	return seen
}

// query returns the first column of what a query returns, decoded from JSON.
func query[T any](t *testing.T, dsn, sql string, args ...any) []T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// rowsOf returns the rows of a table as JSON objects by a key column.
func rowsOf(t *testing.T, dsn, table, key string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, text := range query[string](t, dsn, "SELECT to_jsonb(r)::text FROM "+table+" AS r") {
		var row map[string]any
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprint(row[key])] = row
	}
	return out
}

// postbox takes mails.
type postbox struct {
	url   string
	mails atomic.Int64
}

func newPostbox(t *testing.T) *postbox {
	t.Helper()
	var p postbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m shop.Mail
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.To == "" || m.Subject == "" || m.Body == "" {
			t.Errorf("a mail is %+v: %v", m, err)
		}
		p.mails.Add(1)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL + "/send"
	return &p
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
