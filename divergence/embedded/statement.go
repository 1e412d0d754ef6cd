package embedded

import "strings"

// lane says which connections may run a statement.
type lane uint8

const (
	reading lane = iota
	writing
)

// statement is one SQL statement, taken apart as far as it has to be to run it.
type statement struct {
	text string
	lane lane

	// For an INSERT whose rows come with the request: the text is
	// head + settings, the rows are of this format, and those that already
	// stood in the text begin at data.
	hasData  bool
	head     string // up to where FROM INFILE goes
	settings string // the SETTINGS clause, or empty
	format   string
	data     int
}

// readers are the first words of statements that change nothing.
var readers = map[string]bool{
	"SELECT": true, "WITH": true, "SHOW": true, "DESCRIBE": true, "DESC": true,
	"EXPLAIN": true, "EXISTS": true, "CHECK": true, "KILL": true, "VALUES": true,
}

// parseStatement reads the one statement in text. Its error is worded for the
// caller.
func parseStatement(text string) (statement, error) {
	l := &lexer{text: text}
	first := l.next()
	for l.is(first, "(") {
		first = l.next()
	}
	switch {
	case first.kind == endOfText:
		return statement{}, &Exception{Code: 62, Text: "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)"}
	case l.is(first, "INSERT"):
		return parseInsert(l)
	}
	st := statement{text: text, lane: writing}
	if first.kind == word && readers[strings.ToUpper(text[first.start:first.end])] {
		st.lane = reading
	}
	return st, checkSingle(l)
}

// parseInsert reads on behind INSERT.
func parseInsert(l *lexer) (statement, error) {
	st := statement{text: l.text, lane: writing}
	settings := -1
	for t := skipTarget(l); t.kind != endOfText; t = l.next() {
		switch {
		case l.is(t, "("):
			l.skipGroup()
		case l.is(t, "SETTINGS") && settings < 0:
			settings = t.start
		case l.is(t, "VALUES"):
			st.takeData(t.start, settings, "Values", t.end)
			return st, nil
		case l.is(t, "FORMAT"):
			if name := l.next(); name.kind == word {
				st.takeData(t.start, settings, l.text[name.start:name.end], skipLineBreak(l.text, name.end))
				return st, nil
			}
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "FROM"), l.is(t, ";"):
			l.at = t.start
			return st, checkSingle(l)
		}
	}
	return st, nil
}

// skipTarget moves behind [INTO] [TABLE] [FUNCTION] name and returns the token
// that follows.
func skipTarget(l *lexer) token {
	t := l.next()
	for l.is(t, "INTO") || l.is(t, "TABLE") || l.is(t, "FUNCTION") {
		t = l.next()
	}
	t = l.next() // t was the name, or the first part of it
	for l.is(t, ".") {
		l.next()
		t = l.next()
	}
	return t
}

// takeData makes st an INSERT with rows: the clause that announces them starts
// at clause, the rows at data.
func (st *statement) takeData(clause, settings int, format string, data int) {
	st.hasData, st.format, st.data = true, format, data
	st.head = st.text[:clause]
	if settings >= 0 {
		st.head, st.settings = st.text[:settings], st.text[settings:clause]
	}
}

// fromFile returns the statement with its rows read from a file instead.
func (st *statement) fromFile(path string) string {
	return st.head + " FROM INFILE " + quote(path) + " " + st.settings + " FORMAT " + st.format
}

// skipLineBreak moves behind blanks and one line break at i, which part the
// name of a format from its data.
func skipLineBreak(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	if i < len(text) && text[i] == '\n' {
		i++
	}
	return i
}

// checkSingle refuses text with a second statement: it would run in the lane of
// the first one.
func checkSingle(l *lexer) error {
	ended := false
	for t := l.next(); t.kind != endOfText; t = l.next() {
		if ended && !l.is(t, ";") {
			return &Exception{Code: 62, Text: "Code: 62. DB::Exception: Multi-statements are not allowed: send one statement a request. (SYNTAX_ERROR)"}
		}
		ended = ended || l.is(t, ";")
	}
	return nil
}

var quoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quote returns s as a ClickHouse string literal.
func quote(s string) string { return "'" + quoter.Replace(s) + "'" }
