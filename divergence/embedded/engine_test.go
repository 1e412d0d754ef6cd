package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
)

func TestBatchAndSelect(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	do(t, db, "CREATE OR REPLACE TABLE batch (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	do(t, db, "INSERT INTO batch VALUES (1, 'one'), (2, 'two; --')")
	do(t, db, "INSERT INTO batch VALUES ({a:UInt64}, {b:String})", clickhouse.Named("a", 3), clickhouse.Named("b", "three"))
	send(t, db, t.Context(), "INSERT INTO batch", 10_000, func(i int) []any { return []any{uint64(i + 4), "row"} })
	if n := number(t, db, "SELECT count() FROM batch"); n != 10_003 {
		t.Errorf("got %d rows, want 10003", n)
	}
	if n := number(t, db, "SELECT sum(a) FROM batch"); n != 10_003*10_004/2 {
		t.Errorf("got sum %d, want %d", n, 10_003*10_004/2)
	}
}

// send inserts rows in one batch.
func send(t testing.TB, db driver.Conn, ctx context.Context, insert string, rows int, row func(i int) []any) {
	t.Helper()
	batch, err := db.PrepareBatch(ctx, insert)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Close() }()
	for i := range rows {
		if err := batch.Append(row(i)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

func TestParametersArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	for _, want := range []string{"", "plain", "it's", `back\slash`, "tab\tline\nbreak\r", "nul\x00byte", "{x:UInt8}", "\u00fc\u2028", "'; DROP TABLE x; --", "NULL", `\N`} {
		var got string
		if err := db.QueryRow(t.Context(), "SELECT {s:String}", clickhouse.Named("s", want)).Scan(&got); err != nil {
			t.Errorf("%q: %v", want, err)
		} else if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var list []string
	if err := db.QueryRow(t.Context(), "SELECT {l:Array(String)}", clickhouse.Named("l", []string{"a", "b'c"})).Scan(&list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b'c"}, list); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsKeepCodeAndText(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	f := func(sql string, code int32, text string) {
		t.Helper()
		err := db.Exec(t.Context(), sql)
		var ex *clickhouse.Exception
		if !errors.As(err, &ex) {
			t.Errorf("%s: got %v, want an exception", sql, err)
		} else if ex.Code != code || !strings.Contains(ex.Message, text) {
			t.Errorf("%s: got code %d and %q, want %d and %q", sql, ex.Code, ex.Message, code, text)
		}
	}
	f("SELEC 1", 62, "Syntax error")
	f("", 62, "Empty query")
	f("SELECT * FROM nowhere", 60, "nowhere")
	f("SELECT {missing:UInt8}", 456, "missing")
	f("SELECT 1; DROP TABLE x", 62, "Multi-statements")
	f("INSERT INTO nowhere FORMAT CSV\n1", 60, "nowhere")
	f("SELECT throwIf(1, 'on purpose')", 395, "on purpose")
	f("SELECT 1 SETTINGS max_thread = 1", 115, "max_thread")
	f("SELECT * FROM numbers(1e9) ORDER BY rand() LIMIT 1e8 SETTINGS max_memory_usage = 100000000", 241, "memory")
	f("SELECT number FROM numbers(1e6) SETTINGS max_result_bytes = 1000000", 396, "Limit for result exceeded")
	f("SELECT '"+strings.Repeat("x", maxStatement)+"'", 62, "longer than")
	f("INSERT INTO FUNCTION null('a UInt8')", 62, "")
}

func TestSessionsShareNothing(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 77, "max_threads": 2}))
	var got string
	const ask = "SELECT toString(getSetting('max_block_size')) || ' ' || toString(getSetting('max_threads'))"
	if err := db.QueryRow(ctx, ask).Scan(&got); err != nil || got != "77 2" {
		t.Errorf("%s: got %q, %v, want the settings that came with it", ask, got, err)
	}
	do(t, db, "SET max_block_size = 78")
	do(t, db, "USE system")
	if err := db.QueryRow(t.Context(), ask).Scan(&got); err != nil || got != "65409 1" {
		t.Errorf("got settings %q, %v, want the engine's", got, err)
	}
	if err := db.QueryRow(t.Context(), "SELECT currentDatabase() || ' ' || timezone()").Scan(&got); err != nil || got != Database+" UTC" {
		t.Errorf("got %q, %v, want %s in UTC", got, err, Database)
	}
	if number(t, db, "SELECT toUInt64({x:UInt64})", clickhouse.Named("x", 5)) != 5 {
		t.Error("parameter not applied")
	}
	if err := db.Exec(t.Context(), "SELECT {x:UInt64}"); err == nil {
		t.Error("a parameter outlived its request")
	}
}

func TestLanesRunSideBySide(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ready(t, e)
	db := open(t, e)
	do(t, db, "CREATE TABLE seen (n UInt64) ENGINE = MergeTree ORDER BY n")

	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error)
	for range readersMax {
		go func() { ended <- db.Exec(ctx, "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1") }()
	}
	// Every reader's lane is taken, so the writer's looks.
	until(t, func() bool {
		return db.Exec(t.Context(), "INSERT INTO seen SELECT throwIf(count() < 3) FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'") == nil
	})

	// Their callers leave: they are killed, and the lanes are free again.
	leave()
	for range readersMax {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the caller's own cancellation", err)
		}
	}
	until(t, func() bool {
		return number(t, db, "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'") == 0
	})
}

// until asks again until the answer is yes.
func until(t *testing.T, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(time.Minute); !yes(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("not so after a minute")
		}
	}
}

// curl sends one request as a person with curl would.
func curl(t *testing.T, e *Engine, method, query, body string) (status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, "") },
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://engine/"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(bytes.TrimSpace(got))
}

func TestCurl(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	f := func(method, query, body string, status int, want string) {
		t.Helper()
		got, text := curl(t, e, method, query, body)
		if got != status || !strings.Contains(text, want) {
			t.Errorf("%s %s %q: got %d %q, want %d %q", method, query, body, got, text, status, want)
		}
	}
	q := func(sql string) string { return "?query=" + url.QueryEscape(sql) }
	f("GET", "", "", 200, "Ok.")
	f("GET", "ping", "", 200, "Ok.")
	f("GET", "elsewhere", "", 404, "/ping")
	f("PUT", "", "SELECT 1", 405, "POST")
	f("GET", q("SELECT 1 + 1"), "", 200, "2")
	f("GET", q("CREATE TABLE curl_no (a UInt8) ENGINE = Memory"), "", 500, "Code: 164.")
	f("POST", q("CREATE OR REPLACE TABLE curl (a UInt8, b String) ENGINE = Memory"), "", 200, "")
	f("POST", q("INSERT INTO curl FORMAT CSV"), "1,one\n2,\"t;w'o\"\n", 200, "")
	f("POST", "", "INSERT INTO curl (b, a) SETTINGS max_threads = 1 FORMAT JSONEachRow\n{\"a\":3,\"b\":\"three\"}\n", 200, "")
	f("POST", q("INSERT INTO curl VALUES"), "(4, 'four');", 200, "")
	f("POST", q("INSERT INTO curl SELECT a + 10, b"), "FROM curl", 200, "")
	f("POST", "?default_format=JSONCompactEachRow", "SELECT a, b FROM curl ORDER BY a", 200, `[1, "one"]`+"\n"+`[2, "t;w'o"]`+"\n"+`[3, "three"]`+"\n"+`[4, "four"]`+"\n"+`[11, "one"]`)
	f("POST", "?max_threads=2&param_x=7", "SELECT getSetting('max_threads') + {x:UInt8}", 200, "9")
	f("POST", "?database=system", "SELECT currentDatabase()", 200, "system")
	f("POST", "?no_such_setting=1", "SELECT 1", 500, "Code: 115.")
	f("POST", "?a%20b=1", "SELECT 1", 400, "a b")
	f("POST", "?compress=1", "SELECT 1", 400, "compressed")
	f("POST", "?decompress=1", "SELECT 1", 400, "compressed")
	f("POST", "?a=%zz", "SELECT 1", 400, "URL")
	f("POST", "", "", 500, "Empty query")
}
