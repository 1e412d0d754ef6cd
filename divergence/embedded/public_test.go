package embedded

import (
	"fmt"
	"io"
	"net/http"
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
		request, err := http.NewRequestWithContext(t.Context(), method, base+"/?"+query, nil)
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
		"SELECT count() FROM parallax.t":                      "3",
		"WITH 2 AS x SELECT x":                                "2",
		"SELECT count() > 0 FROM system.parts":                "1",
		"SELECT 'file(' || toString(count()) FROM numbers(5)": "file(5",
		"SELECT getSetting('readonly')":                       "1",
		"SHOW TABLES":                                         "t",
		"SELECT default FROM (SELECT 4 AS default)":           "4",
		"SELECT 1 AS `file`":                                  "1",
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
		"DESCRIBE TABLE file('" + secret + "')", "DESC TABLE (SELECT 1)", "SELECT 1; DROP TABLE t", "WITH x AS (SELECT * FROM file('" + secret + "')) SELECT * FROM x",
	} {
		if status, got := ask("POST", q(sql)); status == 200 || strings.Contains(got, "canary") {
			t.Errorf("%s: %d %q", sql, status, got)
		}
	}
	for _, query := range []string{"database=default&" + q("SELECT * FROM `"+secret+"`"), "database=nowhere&" + q("SELECT 1")} {
		if status, got := ask("POST", query); status == 200 {
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
