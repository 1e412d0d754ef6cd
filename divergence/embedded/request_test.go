package embedded

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadRequest(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/?query_id=q&database=d&max_threads=2&a=1%27&param_y=2&param_x=1&client_protocol_version=54488&log_comment=mine&wait_end_of_query=1", strings.NewReader("SELECT 1"))
	req, err := readRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	if req.id != "q" || req.database != "d" || req.text != "SELECT 1" || req.format != "TabSeparated" {
		t.Errorf("got %+v", req)
	}
	if got, want := req.setUp("me"), `SET a = '1\'', max_threads = '2', log_comment = 'me'`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]setting{{"x", "1"}, {"y", "2"}}, req.params, cmp.AllowUnexported(setting{})); diff != "" {
		t.Error(diff)
	}
}

func TestRowsOfRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1\n", maxStatement)
	f := func(query, body, want string) {
		t.Helper()
		req, err := readRequest(httptest.NewRequest(http.MethodPost, "/?query="+url.QueryEscape(query), strings.NewReader(body)))
		if err != nil {
			t.Errorf("%q, %.40q: %v", query, body, err)
			return
		}
		if !req.hasData {
			t.Errorf("%q, %.40q: no rows found", query, body)
			return
		}
		if got, err := io.ReadAll(req.rows); err != nil || string(got) != want {
			t.Errorf("%q, %.40q: got %d bytes of rows (%.40q), %v, want %d (%.40q)", query, body, len(got), got, err, len(want), want)
		}
	}
	f("INSERT INTO t FORMAT Native", "\n\x00rows;", "\n\x00rows;")
	f("INSERT INTO t FORMAT Native; ", " rows", " rows")
	f("INSERT INTO t FORMAT CSV", long, long)
	f("INSERT INTO t FORMAT CSV", "", "")
	f("INSERT INTO t FORMAT CSV\n1\n", "2", "1\n\n2")
	f("INSERT INTO t", "FORMAT CSV\n1", "1")
	f("", "INSERT INTO t FORMAT CSV\n"+long, long)
	f("", "INSERT INTO t VALUES "+long, " "+long)
}

func FuzzReadRequest(f *testing.F) {
	f.Add("query=SELECT+1", "")
	f.Add("query=INSERT+INTO+t+FORMAT+CSV&max_threads=1&param_x=%27", "1,2")
	f.Add("", "INSERT INTO t (a) VALUES (1)")
	f.Add("database=`&a;b=%zz", "SELECT '")
	f.Fuzz(func(t *testing.T, query, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.RawQuery = query
		req, err := readRequest(r)
		if err != nil {
			return
		}
		if req.hasData != (req.rows != nil) {
			t.Fatalf("rows without an INSERT, or the reverse: %+v", req)
		}
		// Whatever the names and values, setting up a session is one statement
		// of one kind.
		if _, err := parseStatement(req.setUp("id")); err != nil {
			t.Fatalf("%q: %v", req.setUp("id"), err)
		}
		if st, err := parseStatement("USE " + quoteName(req.database)); err != nil || st.lane != writing {
			t.Fatalf("%q: %v", quoteName(req.database), err)
		}
	})
}
