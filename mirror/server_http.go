package mirror

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parallax"
)

// Limits of the callers' side.
const (
	readHeadTimeout = 10 * time.Second  // for a request's head
	keepAlive       = 120 * time.Second // of an idle connection
	maxRequestHead  = 64 << 10          // bytes
)

// newHTTPServer returns what speaks HTTP/1.1 to callers, with net/http.
func newHTTPServer(serve func(context.Context, *incoming, caller), log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			in := newIncoming(r)
			out := &httpCaller{w: w, control: http.NewResponseController(w)}
			serve(r.Context(), in, out)
			if out.aborted {
				panic(http.ErrAbortHandler) // net/http's way to break off an answer
			}
		}),
		DisableGeneralOptionsHandler: true, // OPTIONS * is the leg's to answer
		ReadHeaderTimeout:            readHeadTimeout,
		IdleTimeout:                  keepAlive,
		MaxHeaderBytes:               maxRequestHead,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func newIncoming(r *http.Request) *incoming {
	in := &incoming{
		Method: r.Method, Target: target(r.RequestURI), Host: r.Host, Proto: r.Proto,
		Headers: fieldsOf(r.Header),
		Length:  r.ContentLength,
		TLS:     r.TLS != nil,
	}
	in.RemoteIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	if r.ContentLength != 0 {
		in.Body = r.Body
	}
	if len(r.Trailer) > 0 {
		for name := range r.Trailer {
			in.TrailerNames = append(in.TrailerNames, name)
		}
		in.Trailers = func() []parallax.Field { return fieldsOf(r.Trailer) }
	}
	return in
}

// target returns path and query as they stood on the request line. Of the
// absolute form, which a caller may send as well, it is what follows the host.
func target(uri string) string {
	if strings.HasPrefix(uri, "/") || uri == "*" {
		return uri
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return uri
	}
	_, after, _ := strings.Cut(uri, "://")
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		if after[i] == '?' {
			return "/" + after[i:]
		}
		return after[i:]
	}
	return "/"
}

// httpCaller answers a caller through net/http.
type httpCaller struct {
	w       http.ResponseWriter
	control *http.ResponseController
	aborted bool
}

var _ caller = (*httpCaller)(nil)

// Head begins the answer, with exactly the headers given.
func (c *httpCaller) Head(status int, headers []parallax.Field, _ int64, trailers []string, last bool) {
	h := c.w.Header()
	addAll(h, headers)
	for _, name := range []string{"Content-Type", "Date"} {
		if _, ok := h[name]; !ok {
			h[name] = nil // else net/http makes one up
		}
	}
	for _, name := range trailers {
		h.Add("Trailer", name)
	}
	if last {
		// It also keeps net/http from swallowing the rest of a request that the leg
		// is still reading.
		h.Set("Connection", "close")
	}
	c.w.WriteHeader(status)
}

// Write passes on a piece of the body.
func (c *httpCaller) Write(p []byte) (int, error) { return c.w.Write(p) }

// Flush sends out what was written.
func (c *httpCaller) Flush() error { return c.control.Flush() }

// Trailers ends the answer with trailers, announced or not.
func (c *httpCaller) Trailers(fields []parallax.Field) {
	announced := c.w.Header().Values("Trailer")
	for _, f := range fields {
		name := f.Name
		if !contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		c.w.Header().Add(name, f.Value)
	}
}

// Abort ends the answer visibly incomplete once the request is served.
func (c *httpCaller) Abort() { c.aborted = true }

// Switch answers 101 and hands over the connection.
func (c *httpCaller) Switch(headers []parallax.Field) (io.ReadWriteCloser, error) {
	conn, buffered, err := c.control.Hijack()
	if err != nil {
		return nil, fmt.Errorf("cannot take over the caller's connection: %w", err)
	}
	var head strings.Builder
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	for _, f := range headers {
		fmt.Fprintf(&head, "%s: %s\r\n", f.Name, f.Value)
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(conn, head.String()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot answer 101: %w", err)
	}
	return &switchedConn{Conn: conn, buffered: buffered.Reader}, nil
}

// switchedConn reads first what the server had read ahead.
type switchedConn struct {
	net.Conn
	buffered *bufio.Reader
}

// Read implements net.Conn.
func (c *switchedConn) Read(p []byte) (int, error) { return c.buffered.Read(p) }
