package embedded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// What a statement may cost that comes by the public listener. One of them runs
// at a time, so that two of the three readers are always the parent's.
const (
	publicWaiting = 16
	publicTime    = 30 // seconds
	publicRows    = 1_000_000
	publicAnswer  = 64 << 20 // bytes
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

// outside are functions and clauses that reach files, other machines or the
// process, wherever they stand in a statement. With readonly = 1 the engine refuses
// most of them by itself, but not INTO OUTFILE and not the function file, which
// reads one as a text.
var outside = map[string]bool{
	"file": true, "filecluster": true, "url": true, "urlcluster": true, "s3": true, "s3cluster": true, "gcs": true, "oss": true, "cosn": true,
	"hdfs": true, "hdfscluster": true, "azureblobstorage": true, "azureblobstoragecluster": true, "remote": true, "remotesecure": true,
	"cluster": true, "clusterallreplicas": true, "mysql": true, "postgresql": true, "mongodb": true, "redis": true, "sqlite": true,
	"odbc": true, "jdbc": true, "executable": true, "iceberg": true, "deltalake": true, "hudi": true, "python": true, "input": true, "catboostevaluate": true,
	"dictionary": true, "icebergs3": true, "icebergazure": true, "iceberglocal": true, "deltalakelocal": true, "ytsaurus": true, "arrowflight": true,
	"outfile": true, "infile": true, "default": true, "settings": true,
}

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
		if describes && l.is(t, "(") {
			return refuse("This listener describes tables only")
		}
		name := strings.ToLower(strings.Trim(l.text[t.start:t.end], "`\""))
		if t.kind == mark || t.kind == quoted && l.text[t.start] == '\'' || !outside[name] {
			continue
		}
		switch after := l.peek(); {
		case name == "default" && !l.is(after, "."), name != "default" && t.kind == quoted && !l.is(after, "("):
		case name == "outfile", name == "infile", name == "settings", name == "default", l.is(after, "("):
			return refuse("This listener does not take %s", name)
		}
	}
	req.settings = nil // it comes with its own
	return nil
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
		defer places.leave()
		return h.run(ctx, req)
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page of a foreign site, whose name was pointed at this machine, must not
		// read the store.
		if !byAddress(r.Host) {
			http.Error(w, "use an address or localhost in place of this name", http.StatusMisdirectedRequest)
			return
		}
		reader.ServeHTTP(w, r)
	})
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
	_ = server.Serve(listener) // ends with ctx
}
