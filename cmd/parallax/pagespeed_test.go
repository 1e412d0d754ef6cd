package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"parallax/divergence"
	"parallax/divergence/embedded"
	"parallax/internal/rig"
)

// What the store of TestPageSpeed holds, received evenly over the last 23 hours.
const (
	speedExchanges = 1_000_000
	speedDiverged  = 50_000
	speedEndpoints = 200
	speedIssues    = 5 // of each endpoint
	speedSpan      = 23 * time.Hour
)

const (
	overviewTime = 300 * time.Millisecond
	pageTime     = time.Second
	speedTimes   = 20 // each page is asked, for the median
)

// TestPageSpeed: with a million comparisons the overview takes under 0.3 s, and every other page
// under a second, in the median. `make bench-pages` runs it.
func TestPageSpeed(t *testing.T) {
	if os.Getenv("PAGE_SPEED") == "" {
		t.Skip("PAGE_SPEED is not set; make bench-pages sets it")
	}
	dir := t.TempDir()
	id := fillStore(t, filepath.Join(dir, "data"))
	leg := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(leg.Close)
	p := rig.StartIn(t, dir, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: { dir: %q, max_disk: 10GiB }
state_dir: %q
keys: %q
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  endpoints: [%s]
`, filepath.Join(dir, "data"), filepath.Join(dir, "state"), filepath.Join(dir, "keys"), leg.URL, leg.URL, speedNames()))
	rig.Eventually(t, "a report of everything", func() error {
		var report struct{ Accounting struct{ Received int64 } }
		if err := p.JSON("/api/v1/services/shop/report", &report); err != nil || report.Accounting.Received == speedExchanges {
			return err
		}
		return fmt.Errorf("%d were received", report.Accounting.Received)
	})
	for _, page := range speedPages(t, p, id) {
		t.Run(cmp.Or(strings.TrimPrefix(page.path, "/services/shop"), "/services/shop"), func(t *testing.T) {
			took := medianOf(t, p.Admin+page.path)
			if t.Logf("%v", took.Round(time.Millisecond)); took > page.most {
				t.Errorf("%s takes %v in the median, want at most %v", page.path, took, page.most)
			}
		})
	}
}

func speedNames() string {
	names := make([]string, speedEndpoints)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("GET /part%d/{id}", i))
	}
	return strings.Join(names, ", ")
}

// speedPage is an address and how long it may take.
type speedPage struct {
	path string
	most time.Duration
}

func speedPages(t *testing.T, p *rig.Parallax, id string) []speedPage {
	t.Helper()
	var list struct {
		Issues []struct{ Fingerprint, Cause string }
	}
	if err := p.JSON("/api/v1/services/shop/issues?limit=1", &list); err != nil || len(list.Issues) != 1 {
		t.Fatalf("issues: %v, %v", list, err)
	}
	issue := list.Issues[0]
	endpoint := "/services/shop/endpoint?endpoint=" + url.QueryEscape("GET /part0/{id}")
	pages := []speedPage{{"/", overviewTime}, {"/services/shop", overviewTime}, {"/services/shop?window=all", pageTime}}
	for _, path := range []string{
		endpoint, endpoint + "&outcome=diverged", endpoint + "&issue=" + issue.Fingerprint,
		"/services/shop/issues", "/services/shop/issues?window=all", "/services/shop/issues?cause=" + issue.Cause,
		"/services/shop/issues/" + issue.Fingerprint, "/services/shop/exchanges/" + id,
		"/services/shop/rules", "/services/shop/written",
		"/api/v1/services/shop/report", "/api/v1/services/shop/exchanges", "/api/v1/services/shop/issues",
	} {
		pages = append(pages, speedPage{path, pageTime})
	}
	return pages
}

// medianOf is how long a page takes to be made and read whole.
func medianOf(t *testing.T, address string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range speedTimes {
		began := time.Now()
		answer, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v: %.300s", address, answer.Status, err, text)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// fillStore makes a store in dir and returns the id of an exchange that diverged and whose bodies are
// there.
func fillStore(t *testing.T, dir string) string {
	t.Helper()
	engine, err := embedded.Start(t.Context(), embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := engine.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	opts := engine.Options()
	opts.ReadTimeout = 5 * time.Minute
	opts.Auth.Database = divergence.DefaultDatabase
	store, err := divergence.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now().UTC().Add(-speedSpan).UnixMilli()
	for _, statement := range speedRows(began) {
		if err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%v: %.200s", err, statement)
		}
	}
	newsSpeed(t, store)
	var id string
	if err := conn.QueryRow(ctx, "SELECT toString(any(id)) FROM divergences WHERE kept").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// newsSpeed: what each receiver of notifications looks for every few seconds, an hour back.
func newsSpeed(t *testing.T, store *divergence.Store) {
	t.Helper()
	var took []time.Duration
	for range speedTimes {
		began := time.Now()
		if _, err := store.IssueNews(t.Context(), "shop", began.Add(-time.Hour), 500); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > pageTime {
		t.Errorf("the news of issues take %v in the median, want at most %v", median, pageTime)
	} else {
		t.Logf("the news of issues: %v", median.Round(time.Millisecond))
	}
}

// speedRows are the statements that fill the tables, beginning at a time in ms since 1970. Exchange
// number n is of endpoint n % 200 and diverges if n / 200 % 20 is 0.
func speedRows(began int64) []string {
	fill := func(statement string) string {
		for _, name := range speedWords(began) { // each may be made of later ones
			statement = strings.ReplaceAll(statement, name[0], name[1])
		}
		return statement
	}
	print := "concat('1-', lower(leftPad(hex(cityHash64($ISSUE)), 16, '0')))"
	return []string{
		fill(`INSERT INTO comparisons (id, received, service, endpoint, live, source, outcome, divergences, kept, primary_status, candidate_status, primary_seconds, candidate_seconds, primary_version, candidate_version, rules_hash, policy_hash, instance, batch, written)
SELECT $ID, $RECEIVED, $SERVICE, $ENDPOINT, 'primary', 'proxy', if($DIVERGED, 'diverged', 'match'), $DIVERGED, $DIVERGED, 200, if($DIVERGED AND number % 7 = 0, 500, 200),
    0.001 + cityHash64(number) % 10000 / 1e6, 0.001 + cityHash64(number, 1) % 12000 / 1e6, '1', '2', 'r', 'p', 'i', intDiv(number, 1000) + 1, $RECEIVED FROM numbers($N)`),
		fill(`INSERT INTO divergences (id, n, received, service, endpoint, fingerprint, cause, path, normal, kind, class, primary, candidate, kept, instance, written)
SELECT $ID, 0, $RECEIVED, $SERVICE, $ENDPOINT, ` + print + `, concat('1-', lower(leftPad(hex(cityHash64($ISSUE % $ISSUES)), 16, '0'))),
    concat('$.items[', toString(number % 9), '].price', toString($ISSUE % $ISSUES)), concat('$.items[*].price', toString($ISSUE % $ISSUES)), 'changed', 'number',
    toString(cityHash64(number) % 1000), toString(cityHash64(number, 1) % 1000), true, 'i', $RECEIVED FROM numbers($N) WHERE $DIVERGED`),
		fill(`INSERT INTO bodies (id, leg, received, service, endpoint, method, target, host, proto, request_header_names, request_header_values, status, header_names, header_values, body, size, start_ns, first_ns, done_ns, written)
SELECT $ID, leg, $RECEIVED, $SERVICE, $ENDPOINT, 'GET', concat('/part', toString(number % $ENDPOINTS), '/', toString(number)), 'shop', 'HTTP/1.1', ['Accept'], ['*/*'], 200, ['Content-Type'], ['application/json'],
    concat('{"id":', toString(number), ',"items":[', arrayStringConcat(arrayMap(i -> concat('{"sku":"', hex(cityHash64(number, i)), '","price0":', toString(cityHash64(number, i, leg) % 1000), '}'), range(20)), ','), ']}') AS b, length(b), 0, 1000000, 2000000, $RECEIVED
FROM numbers($N) ARRAY JOIN [0, 1] AS leg WHERE $DIVERGED AND NOT ignore(leg)`),
		fill(`INSERT INTO counts (instance, seq, minute, service, endpoint, reason, n)
SELECT 'i', intDiv(number, 1000) + 1 AS batch, toStartOfMinute($RECEIVED) AS at, $SERVICE, $ENDPOINT AS name, 'received', count() FROM numbers($N) GROUP BY batch, at, name`),
		fill(`INSERT INTO repeats (minute, service, endpoint, fingerprint, cause, normal, kind, class, suppressed_by, first, last, n)
SELECT toStartOfMinute($RECEIVED), $SERVICE, $ENDPOINT, ` + print + `, 'c', '$.updated_at', 'changed', 'text', 'rule:1', $RECEIVED, $RECEIVED, 1 FROM numbers($N) WHERE number % 10 = 0`),
	}
}

// speedWords are what stands for $NAME in a statement about exchange number n.
func speedWords(began int64) [][2]string {
	every := speedExchanges / speedDiverged
	return [][2]string{
		{"$ID", speedID},
		{"$RECEIVED", "fromUnixTimestamp64Milli(toInt64($MS), 'UTC')"},
		{"$SERVICE", "'shop'"},
		{"$MS", fmt.Sprintf("(%d + intDiv(number * %d, %d))", began, speedSpan.Milliseconds(), speedExchanges)},
		{"$ENDPOINTS", fmt.Sprint(speedEndpoints)},
		{"$ENDPOINT", fmt.Sprintf("concat('GET /part', toString(number %% %d), '/{id}')", speedEndpoints)},
		{"$DIVERGED", fmt.Sprintf("(intDiv(number, %d) %% %d = 0)", speedEndpoints, every)},
		{"$ISSUES", fmt.Sprint(speedIssues)},
		{"$ISSUE", fmt.Sprintf("((number %% %d) * %d + intDiv(number, %d) %% %d)", speedEndpoints, speedIssues, speedEndpoints*every, speedIssues)},
		{"$N", fmt.Sprint(speedExchanges)},
	}
}

// speedID makes an id of version 7 of a number: the time, then the number.
const speedID = `toUUID(concat(substring(leftPad(hex($MS), 12, '0'), 1, 8), '-', substring(leftPad(hex($MS), 12, '0'), 9, 4), '-7000-8000-', leftPad(hex(number), 12, '0')))`
