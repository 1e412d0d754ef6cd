package h1

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

type conformance struct {
	name, text string
	status     int // that the caller gets; 0 for a BadAnswer in responses
}

// requestCases are requests on the wire and what becomes of them. Those that
// are refused never reach a handler.
var requestCases = []conformance{
	{"simplest", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"old", "GET / HTTP/1.0\r\n\r\n", 200},
	{"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200},
	{"chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200},
	{"chunked in capitals", "POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200},
	{"trailers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", 200},
	{"pipelined", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute", "GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute without path", "GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"connect", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", 200},
	{"path that starts with two slashes", "GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"semicolon and bad escape in the query", "GET /?a;b=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"bytes beyond ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"bytes beyond ASCII in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", 200},
	{"empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:  \t\r\n\r\n", 200},
	{"no-cache", "GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n", 200},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200},
	{"length of zero", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200},
	{"extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0;c\r\n\r\n", 200},
	{"expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 200},
	{"expectation in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 3\r\n\r\nabc", 200},

	// Two readers could see two different messages.
	{"length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked and length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
	{"two different lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
	{"two lengths in a line", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde", 400},
	{"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
	{"length with plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400},
	{"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400},
	{"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400},
	{"length too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 400},
	{"length with space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nabc", 400},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked twice in a line", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
	{"gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	{"xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
	{"quoted chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400},
	{"chunked with vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
	{"empty coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"space before colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400},
	{"tab before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
	{"folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
	{"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"folded coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", 400},
	{"bare CR ends a line", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n", 400},
	{"bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400},
	{"bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\nX: 1\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: 1\r\n\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
	{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400},
	{"line without colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xe9: 1\r\n\r\n", 400},
	{"name in parentheses", "GET / HTTP/1.1\r\nHost: a\r\nX(1): 1\r\n\r\n", 400},

	{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"two hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
	{"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400},
	{"host with a port of letters", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
	{"host with an open literal", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
	{"two hosts in a line", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{"absolute target, no host", "GET http://b/ HTTP/1.1\r\n\r\n", 400},

	{"leading empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 505},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
	{"tab for space", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"bad method", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"version 01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 505},
	{"lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"bad escape in the path", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"other scheme", "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"user in the target", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"connect with a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},

	{"unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 3\r\n\r\nabc", 417},
	{"length as a trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", 400},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: 1\r\n", 200) + "\r\n", 431},
	{"head too large", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
	{"target too long", "GET /" + strings.Repeat("a", 33<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"HTTP/2", preface, 505},
}

func TestRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	handled := make(chan struct{}, 1000)
	_, addr := start(t, func(r *Request, w *Writer) {
		handled <- struct{}{}
		echo(r, w)
	})
	for _, c := range requestCases {
		end := ""
		if c.status == 200 && !strings.Contains(c.text, "HTTP/1.0") {
			end = "GET /bye HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		}
		got := raw(t, addr, c.text+end)
		got = strings.TrimPrefix(got, "HTTP/1.1 100 Continue\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
			t.Errorf("%s: got %q, want status %d", c.name, got, c.status)
		}
		reached := len(handled) > 0
		for len(handled) > 0 {
			<-handled
		}
		if reached != (c.status == 200) {
			t.Errorf("%s: reached the handler: %v", c.name, reached)
		}
		if c.status != 200 && !strings.Contains(got, "Connection: close\r\n") {
			t.Errorf("%s: connection stays open: %q", c.name, got)
		}
	}
}

// TestBadChunks has a body go wrong after the handler has begun to read it.
func TestBadChunks(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 1)
	_, addr := start(t, func(r *Request, w *Writer) {
		var err error
		for p := make([]byte, 100); err == nil; {
			_, err = r.Body.Read(p)
		}
		errs <- err
		w.Abort()
	})
	for _, bad := range []string{
		"x\r\n", "-1\r\n", "+1\r\n", "0x1\r\na\r\n", "\r\n", ";a\r\nb\r\n", "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1\r\na0\r\n\r\n",
		"1\ra\r\n", "1 1\r\na\r\n", "1;a\x00\r\na\r\n", "1;\n\r\na\r\n", "10000000000000000\r\n", "00000000000000001\r\na\r\n", "ffffffffffffffff\r\n", "7fffffffffffffff\r\n",
		"1;" + strings.Repeat("a", 2000) + "\r\na\r\n", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\na\r\n", 6),
		"0\r\nX : 1\r\n\r\n", "0\r\n X: 1\r\n\r\n", "0\r\nX: 1\n\r\n\r\n", "0\r\nX: " + strings.Repeat("a", 5000) + "\r\n\r\n", "0\r\n\n",
		"1\r\na\r\n0\r\n" + strings.Repeat("X: 1\r\n", 300) + "\r\n",
	} {
		raw(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+bad+strings.Repeat("\r\n", 1+len(bad)/40))
		select {
		case err := <-errs:
			if _, ok := err.(*Refusal); !ok {
				t.Errorf("%.60q: got %v, want a refusal", bad, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%.60q: handler did not hear of it", bad)
		}
	}
}

// responseCases are answers of a leg; status 0 means that they are bad.
var responseCases = []conformance{
	{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200},
	{"until close", "HTTP/1.1 200 OK\r\n\r\nok", 200},
	{"old", "HTTP/1.0 200 OK\r\n\r\nok", 200},
	{"old with length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 200},
	{"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200},
	{"empty reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200},
	{"unknown status", "HTTP/1.1 799 ?\r\nContent-Length: 2\r\n\r\nok", 799},
	{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204},
	{"no content with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204},
	{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304},
	{"informed", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200},
	{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\nContent-Length: 7\r\n\r\n", 200},
	{"padded chunk sizes", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n", 200},

	{"both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 0},
	{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", 0},
	{"bad length without a body", "HTTP/1.1 204 OK\r\nContent-Length: two\r\n\r\n", 0},
	{"gzip coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0},
	{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 0},
	{"folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 0},
	{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0},
	{"HTTP/2", "HTTP/2 200\r\n\r\n", 0},
	{"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", 0},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", 0},
	{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", 0},
	{"switched unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 0},
	{"informed for ever", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 40), 0},
	{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 0},
	{"nothing", "", 0},
	{"half a head", "HTTP/1.1 200 OK\r\nConte", 0},
	{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", 0},
	{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", 0},
	{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 0},
}

func TestResponsesOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range responseCases {
		p := pool(t)
		res, got, err := ask(t, p, leg(t, c.text), &Message{})
		switch {
		case c.status == 0 && err == nil:
			t.Errorf("%s: taken for status %d, body %q", c.name, res.Status, got)
		case c.status != 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.status != 0 && (res.Status != c.status || got != "ok" && !bodyless("GET", c.status)):
			t.Errorf("%s: got status %d, body %q", c.name, res.Status, got)
		}
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Errorf("%s: %T is not an *Error", c.name, err)
			}
		}
	}
}

func TestLengthsOfNumbers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9, 10, 4096, 1 << 20} {
		var fr framing
		fr.length = -1
		if err := fr.declare(strconv.Itoa(n)); err != nil || fr.length != int64(n) {
			t.Errorf("declare(%d) = %d, %v", n, fr.length, err)
		}
	}
}

// TestEndsLine puts each byte at each place of values of each length: only those
// that end a line, for somebody, are found, and all of them.
func TestEndsLine(t *testing.T) {
	t.Parallel()
	for length := range 25 {
		for at := range length {
			for c := range 256 {
				value := []byte(strings.Repeat("\xffa\x1f", 9)[:length])
				value[at] = byte(c)
				if got, want := endsLine(string(value)), c == '\n' || c == '\r' || c == 0; got != want {
					t.Fatalf("endsLine(%q) = %t", value, got)
				}
			}
		}
	}
}
