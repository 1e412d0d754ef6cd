package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Bounds of one request to the child.
const (
	maxStatement = 1 << 20   // bytes of SQL, without an INSERT's rows
	maxRows      = 256 << 20 // bytes of rows of one INSERT
	maxAnswer    = 256 << 20 // bytes of a result, as the engine counts them
)

// setting is a name and a value from the request's URL.
type setting struct{ name, value string }

// request is one HTTP request to the child, read.
type request struct {
	statement
	id       string // the caller's name for it, may be empty
	database string
	format   string // unless the statement names one
	settings []setting
	params   []setting // values of {name:Type}
	rows     io.Reader // of an INSERT that has data
}

// notSettings are the parameters of ClickHouse's HTTP interface that concern
// the transport. Answers are always complete before they are sent, and never
// compressed.
var notSettings = map[string]bool{
	"query": true, "query_id": true, "quota_key": true, "database": true, "default_format": true,
	"client_protocol_version": true, "user": true, "password": true, "wait_end_of_query": true,
	"buffer_size": true, "enable_http_compression": true, "compress": true, "decompress": true,
	"log_comment": true, // taken: see setUp
}

// readRequest reads what is asked for. Of the body it reads only as much as
// belongs to the statement.
func readRequest(r *http.Request) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("cannot read the request's URL: %v", err)
	}
	if query.Get("decompress") == "1" || r.Header.Get("Content-Encoding") != "" {
		return nil, badRequest("compressed requests are not supported: the connection never leaves this machine")
	}
	if query.Get("compress") == "1" {
		return nil, badRequest("compressed answers are not supported: the connection never leaves this machine")
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, badRequest("external tables are not supported: insert into a table, or use a parameter")
	}
	req := &request{
		id:       query.Get("query_id"),
		database: query.Get("database"),
		format:   query.Get("default_format"),
	}
	if req.database == "" {
		req.database = Database
	}
	if req.format == "" {
		req.format = "TabSeparated"
	}
	if err := req.readSettings(query); err != nil {
		return nil, err
	}
	return req, req.readStatement(query.Get("query"), r.Body)
}

// readSettings takes settings and parameters out of the URL, sorted by name.
func (req *request) readSettings(query url.Values) error {
	for name, values := range query {
		value := values[len(values)-1]
		if param, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, setting{param, value})
			continue
		}
		if notSettings[name] {
			continue
		}
		if !isName(name) {
			return badRequest("cannot use %.40q as the name of a setting", name)
		}
		req.settings = append(req.settings, setting{name, value})
	}
	byName := func(a, b setting) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(req.settings, byName)
	slices.SortFunc(req.params, byName)
	return nil
}

// readStatement reads the statement from the URL's query followed by the body,
// as ClickHouse does. Rows of an INSERT may begin in either.
func (req *request) readStatement(query string, body io.Reader) error {
	start, err := io.ReadAll(io.LimitReader(body, maxStatement+1))
	if err != nil {
		return fmt.Errorf("cannot read the request's body: %w", err)
	}
	// An INSERT whose clause ends the URL's query has all its rows in the body.
	if st, err := parseStatement(query); err == nil && st.hasData && strings.Trim(query[st.data:], " \t\r\n;") == "" {
		req.statement = st
		req.rows = io.MultiReader(bytes.NewReader(start), body)
		return nil
	}
	text := query
	if text != "" && len(start) > 0 {
		text += "\n"
	}
	text += string(start)
	complete := len(start) <= maxStatement
	st, err := parseStatement(text)
	if err != nil {
		return err
	}
	req.statement = st
	switch {
	case st.hasData && st.format == "Values" && complete:
		// Few rows, written as SQL: the statement runs as it stands.
		req.hasData = false
		return checkSingle(&lexer{text: text, at: st.data})
	case st.hasData:
		req.rows = io.MultiReader(strings.NewReader(text[st.data:]), body)
		return nil
	case len(text) > maxStatement:
		return &Exception{Code: 62, Text: fmt.Sprintf("Code: 62. DB::Exception: The statement is longer than %d bytes. (SYNTAX_ERROR)", maxStatement)}
	}
	return nil
}

// setUp returns the statement that applies the request's settings. The last of
// them is the id, which is what a statement is killed by.
func (req *request) setUp(id string) string {
	var b strings.Builder
	b.WriteString("SET ")
	for _, s := range req.settings {
		b.WriteString(s.name + " = " + quote(s.value) + ", ")
	}
	b.WriteString("log_comment = " + quote(id))
	return b.String()
}

// isName says whether s may stand for a name without quotes.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// errBadRequest marks requests that no engine has to see to be refused.
var errBadRequest = errors.New("bad request")

func badRequest(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBadRequest}, args...)...)
}
