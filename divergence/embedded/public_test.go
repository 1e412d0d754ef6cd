package embedded

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// publicEngine starts an engine that answers queries on a loopback address, with
// a table t of three rows.
func publicEngine(t *testing.T) (e *Engine, base string) {
	t.Helper()
	e, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	ready(t, e)
	for base == "" {
		if t.Context().Err() != nil {
			t.Fatal("the listener does not open")
		}
		_, base, _ = strings.Cut(e.State().Query, "queries are answered on ")
		pause(t.Context(), 10*time.Millisecond)
	}
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, sql := range []string{"CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a", "INSERT INTO t SELECT number + 1 FROM numbers(3)"} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return e, base
}

// TestQueriesFromOutside reads with curl and with clickhouse-go what the public
// listener answers, and tries to do more than read.
func TestQueriesFromOutside(t *testing.T) {
	t.Parallel()
	_, base := publicEngine(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(method, query string) (int, string) {
		t.Helper()
		body := ""
		if method == "POST" && strings.HasPrefix(query, "query=") { // long ones do not fit into a URL
			body, _ = url.QueryUnescape(strings.TrimPrefix(query, "query="))
			query = ""
		}
		request, err := http.NewRequestWithContext(t.Context(), method, base+"/?"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, strings.TrimSpace(string(text))
	}
	q := func(sql string) string { return "query=" + url.QueryEscape(sql) }
	out, err := exec.CommandContext(t.Context(), "curl", "-sS", base+"/?"+q("SELECT sum(a) FROM t")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "6" {
		t.Errorf("curl: %q, %v", out, err)
	}
	for sql, want := range map[string]string{
		"SELECT count() FROM parallax.t":                                   "3",
		"WITH 2 AS x SELECT x":                                             "2",
		"SELECT count() > 0 FROM system.parts":                             "1",
		"SELECT 'file(' || toString(count()) FROM numbers(5)":              "file(5",
		"SELECT getSetting('readonly')":                                    "1",
		"SHOW TABLES":                                                      "t",
		"SELECT default FROM (SELECT 4 AS default)":                        "4",
		"SELECT 1 AS `settings`":                                           "1",
		"SELECT 'é$', \"a\" -- $ ‘ FROM (SELECT 1)\n FROM (SELECT 2 AS a)": "é$\t2",
	} {
		for _, method := range []string{"GET", "POST"} {
			if status, got := ask(method, q(sql)); status != 200 || got != want {
				t.Errorf("%s %s: %d %q, want %q", method, sql, status, got, want)
			}
		}
	}
	for _, sql := range []string{
		"INSERT INTO t VALUES (9)", "DROP TABLE t", "CREATE TABLE u (a UInt8) ENGINE = Memory", "ALTER TABLE t DELETE WHERE 1",
		"SYSTEM FLUSH LOGS", "SET readonly = 0", "KILL QUERY WHERE 1", "USE system", "OPTIMIZE TABLE t", "TRUNCATE TABLE t", "ATTACH TABLE x",
		"SELECT * FROM file('" + secret + "')", "SELECT * FROM `file`('" + secret + "')", "SELECT * FROM FiLe/**/('" + secret + "', CSV)",
		"SELECT file('" + secret + "')", "SELECT * FROM url('http://127.0.0.1:1/')", "SELECT * FROM s3('http://127.0.0.1:1/b')",
		"SELECT * FROM remote('127.0.0.1', system.one)", "SELECT * FROM executable('id', CSV, 'a String')",
		"SELECT * FROM `default`.`" + secret + "`", "SELECT * FROM default.`" + secret + "`", "SELECT * FROM \"" + secret + "\"", "SELECT * FROM '" + secret + "'",
		"SELECT 1 INTO OUTFILE '" + secret + ".out'", "SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_execution_time = 0", "EXPLAIN SELECT * FROM file('" + secret + "')",
		"SELECT file\u00a0('" + secret + "')", "SELECT 1 AS a$b$, file('" + secret + "') AS x, 2 AS c$b$", "SELECT ‘'’, file('" + secret + "'), ‘'’",
		"SELECT $$'$$, file('" + secret + "'), $$'$$", "SELECT `fi\\x6ce`('" + secret + "')", "SELECT \"fi\\x6ce\"('" + secret + "')",
		"SELECT * APPLY(file) FROM (SELECT '" + secret + "' AS a)", "SELECT * APPLY `file` FROM (SELECT '" + secret + "' AS a)", "SELECT arrayMap(file, ['" + secret + "'])",
		"SELECT * FROM eval('SELECT 1')", "SELECT * FROM merge('default', '.*')", "WITH 1 AS x INSERT INTO t SELECT x",
		"SELECT '" + strings.Repeat("x", 80<<10) + "'",
		"DESCRIBE TABLE file('" + secret + "')", "DESC TABLE (SELECT 1)", "SELECT 1; DROP TABLE t", "WITH x AS (SELECT * FROM file('" + secret + "')) SELECT * FROM x",
	} {
		if status, got := ask("POST", q(sql)); status == 200 || strings.Contains(got, "canary") {
			t.Errorf("%s: %d %q", sql, status, got)
		}
	}
	for _, query := range []string{"database=default&" + q("SELECT * FROM `"+secret+"`"), "database=nowhere&" + q("SELECT 1"),
		"param_f=file&" + q("SELECT arrayMap({f:Identifier}, ['"+secret+"'])"), "param_d=default&param_t=" + url.QueryEscape(secret) + "&" + q("SELECT * FROM {d:Identifier}.{t:Identifier}")} {
		if status, got := ask("POST", query); status == 200 || strings.Contains(got, "canary") {
			t.Errorf("%s: %q", query, got)
		}
	}
	if status, got := ask("POST", "readonly=0&max_execution_time=0&"+q("SELECT getSetting('readonly'), getSetting('max_execution_time')")); got != "1\t30" {
		t.Errorf("settings of the URL: %d %q", status, got)
	}
	if status, got := ask("GET", q("SELECT * FROM numbers(2000000)")); status == 200 {
		t.Errorf("an endless answer: %d bytes", len(got))
	}
	if status, got := ask("GET", q("SELECT sum(a), count() FROM t")); got != "6\t3" {
		t.Errorf("afterwards: %d %q", status, got)
	}
}

func TestQueriesByClickHouseGo(t *testing.T) {
	t.Parallel()
	_, base := publicEngine(t)
	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{strings.TrimPrefix(base, "http://")},
		Settings: clickhouse.Settings{"max_execution_time": 60}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM t WHERE a >= {least:UInt8}", clickhouse.Named("least", 2)).Scan(&n); err != nil || n != 2 {
		t.Errorf("got %d, %v", n, err)
	}
	if err := conn.Exec(t.Context(), "DROP TABLE t"); err == nil {
		t.Error("a table was dropped")
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", base+"/?query=SELECT+1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %s", answer.Status)
	}
}

func TestListenerForQueriesIsLoopback(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:8123", ":8123", "192.0.2.1:8123", "example.com:8123", "127.0.0.1"} {
		if e, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: address}); err == nil {
			e.Close()
			t.Error(fmt.Errorf("%s was taken", address))
		}
	}
}

// TestSlowReadersHeapUpNoAnswers reads an answer slowly: until it is sent, no other
// statement of the public listener runs.
func TestSlowReadersHeapUpNoAnswers(t *testing.T) {
	t.Parallel()
	h := &handler{run: func(context.Context, *request) (answer, error) { return text("1"), nil }}
	ctx, cancel := context.WithCancel(t.Context())
	slow := &slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	public := h.public(1 << 30)
	ask := func(ctx context.Context, w http.ResponseWriter) {
		public.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/?query=SELECT+1", nil))
	}
	go func() { defer close(slow.sent); ask(t.Context(), slow) }()
	<-slow.writes
	second := httptest.NewRecorder()
	waited := make(chan struct{})
	go func() { defer close(waited); ask(ctx, second) }()
	cancel() // whoever waits for a place gives up
	<-waited
	if second.Code == 200 {
		t.Errorf("beside an answer that is being sent: %d %q", second.Code, second.Body)
	}
	close(slow.writes)
	<-slow.sent
	third := httptest.NewRecorder()
	if ask(t.Context(), third); third.Code != 200 {
		t.Errorf("afterwards: %d %q", third.Code, third.Body)
	}
}

// text is an answer.
type text string

func (a text) Bytes() []byte { return []byte(a) }
func (text) Close()          {}

// slowWriter tells of a write by writes, and ends it when that is closed.
type slowWriter struct {
	*httptest.ResponseRecorder
	writes, sent chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.writes <- struct{}{}
	<-w.writes
	return w.ResponseRecorder.Write(p)
}
