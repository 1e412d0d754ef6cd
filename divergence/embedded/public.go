package embedded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/netutil"
)

// What a statement may cost that comes by the public listener. One of them runs
// at a time, so that two of the three readers are always the parent's.
const (
	publicWaiting     = 16
	publicConnections = 64
	publicStatement   = 64 << 10 // bytes
	publicTime        = 30       // seconds
	publicRows        = 1_000_000
	publicAnswer      = 64 << 20 // bytes
)

// publicSettings hold for a statement of the public listener, in place of what it
// asks for. With readonly = 1 the engine itself lets it change nothing and reach
// for no table function that leads outside; checkPublic refuses the rest.
func publicSettings(memory int64) []setting {
	set := func(name string, value int64) setting { return setting{name, fmt.Sprint(value)} }
	return []setting{
		set("max_execution_time", publicTime), set("max_result_rows", publicRows), set("max_result_bytes", publicAnswer),
		set("max_memory_usage", memory/4), set("readonly", 1),
	}
}

// publicWords are the first words of the statements that the public listener
// takes.
var publicWords = map[string]bool{
	"SELECT": true, "WITH": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXPLAIN": true, "EXISTS": true,
}

// outside are functions that reach files, other machines or the process, refused
// where they are called. With readonly = 1 the engine refuses them by itself.
var outside = map[string]bool{
	"filecluster": true, "url": true, "urlcluster": true, "s3": true, "s3cluster": true, "gcs": true, "oss": true, "cosn": true,
	"hdfs": true, "hdfscluster": true, "azureblobstorage": true, "azureblobstoragecluster": true, "remote": true, "remotesecure": true,
	"cluster": true, "clusterallreplicas": true, "mysql": true, "postgresql": true, "mongodb": true, "redis": true, "sqlite": true,
	"odbc": true, "jdbc": true, "executable": true, "iceberg": true, "deltalake": true, "hudi": true, "python": true, "input": true,
	"dictionary": true, "icebergs3": true, "icebergazure": true, "iceberglocal": true, "deltalakelocal": true, "ytsaurus": true, "arrowflight": true,
}

// nowhere are functions that the engine takes with readonly = 1 too, refused
// wherever they stand, since APPLY and arrayMap call them by the bare name. They
// read a file, run a text as a statement, or load a model.
var nowhere = map[string]bool{"file": true, "eval": true, "catboostevaluate": true}

// clauses write files, change settings, or take a name from a parameter. No quoted
// name is one.
var clauses = map[string]bool{"outfile": true, "infile": true, "settings": true, "identifier": true}

// checkPublic says why a statement is not for the public listener, nil when it
// is.
func checkPublic(req *request) error {
	refuse := func(format string, args ...any) error {
		return &Exception{Code: 164, Text: fmt.Sprintf("Code: 164. DB::Exception: "+format+". (READONLY)", args...)}
	}
	if req.database != Database && req.database != "system" {
		return refuse("This listener reads the databases %s and system", Database)
	}
	l := &lexer{text: req.text}
	first := l.next()
	for l.is(first, "(") {
		first = l.next()
	}
	if req.hasData || !publicWords[strings.ToUpper(l.text[first.start:first.end])] {
		return refuse("This listener only reads: send a SELECT")
	}
	describes := l.is(first, "DESCRIBE") || l.is(first, "DESC") // which the engine does to any function
	for t := first; t.kind != endOfText; t = l.next() {
		text := l.text[t.start:t.end]
		name := strings.ToLower(strings.Trim(text, "`\""))
		called := t.kind != mark && l.is(l.peek(), "(")
		switch {
		case !plain(t, text):
			return refuse("This listener takes ASCII alone outside of 'texts', without $, and no backslash in a quoted name: %.40q", text)
		case describes && text == "(":
			return refuse("This listener describes tables only")
		case t.kind == mark, text[0] == '\'':
		case nowhere[name], called && outside[name], t.kind == word && clauses[name]:
			return refuse("This listener does not take %s", name)
		case name == "default" && l.is(l.peek(), "."):
			return refuse("This listener does not read the database %s", name)
		}
	}
	req.settings = nil // it comes with its own
	return nil
}

// plain reports whether the engine surely sees a token as the lexer does. The
// engine has blanks and quotes beyond ASCII, words with $ in them, texts between
// $$, and escapes in names.
func plain(t token, text string) bool {
	switch {
	case t.kind == word:
		return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
	case t.kind == mark:
		return text != "$" && text >= " "
	case text[0] == '\'':
		return true
	}
	return text[0] != '$' && !strings.Contains(text, `\`)
}

// peek returns the next token and stays before it.
func (l *lexer) peek() token {
	at := l.at
	defer func() { l.at = at }()
	return l.next()
}

// public makes a handler of requests that anybody on this machine may send.
func (h *handler) public(memory int64) http.Handler {
	places := newQueue(1, publicWaiting)
	reader := &handler{version: h.version, alive: h.alive, run: func(ctx context.Context, req *request) (answer, error) {
		if err := checkPublic(req); err != nil {
			return nil, err
		}
		req.settings = publicSettings(memory)
		if err := places.enter(ctx); err != nil {
			return nil, err
		}
		got, err := h.run(ctx, req)
		if err != nil {
			places.leave()
			return nil, err
		}
		return &placed{got, places}, nil
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page of a foreign site, whose name was pointed at this machine, must not
		// read the store.
		if !byAddress(r.Host) {
			http.Error(w, "use an address or localhost in place of this name", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, publicStatement)
		reader.ServeHTTP(w, r)
	})
}

// placed is an answer that keeps its place until it is sent, so that slow readers
// do not heap up answers in memory.
type placed struct {
	answer
	places *queue
}

// Close implements answer.
func (p *placed) Close() {
	p.answer.Close()
	p.places.leave()
}

func byAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// listenPublic serves on a loopback address until ctx ends. While the address is
// taken it tries again, and tells so.
func listenPublic(ctx context.Context, address string, handler http.Handler, tell func(string)) {
	var open net.ListenConfig
	listener, err := open.Listen(ctx, "tcp", address)
	for ; err != nil; listener, err = open.Listen(ctx, "tcp", address) {
		tell("cannot listen for queries: " + err.Error())
		pause(ctx, time.Second)
		if ctx.Err() != nil {
			return
		}
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		WriteTimeout: 3 * publicTime * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	tell("queries are answered on http://" + listener.Addr().String())
	_ = server.Serve(netutil.LimitListener(listener, publicConnections)) // ends with ctx
}
