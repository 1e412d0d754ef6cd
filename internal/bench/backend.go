//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What a backend may do with a request.
const (
	answers     = "answers"      // 1 KB of JSON at once
	hangs       = "hangs"        // never answers
	answersLate = "answers late" // 1 KB of JSON after a second
	answersHuge = "answers huge" // 10 MB at once
)

const (
	answerSize = 1 << 10
	hugeSize   = 10 << 20
	late       = time.Second
)

// backend is an HTTP/1.1 server that costs as little as it can, so that the
// proxies in front of it are what is measured. It trusts its clients.
type backend struct {
	mode   string
	answer []byte

	mu   sync.Mutex
	sums map[string]string // path of an upload -> its size and checksum
}

// uploadsPath is where bodies are summed up, sumsPath where the sums are told.
const (
	uploadsPath = "/uploads/"
	sumsPath    = "/sums"
)

// backendVerb makes this program a backend: bench backend MODE.
const backendVerb = "backend"

// runBackend serves until the process is killed. It prints its address first.
func runBackend(mode string, stdout io.Writer) error {
	size := answerSize
	if mode == answersHuge {
		size = hugeSize
	}
	b := &backend{mode: mode, answer: response(jsonOf(size)), sums: map[string]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot open the listener of a backend: %w", err)
	}
	fmt.Fprintln(stdout, l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go b.serve(conn)
	}
}

// jsonOf returns a JSON object of that many bytes.
func jsonOf(size int) []byte {
	const before, after = `{"id":1,"state":"open","text":"`, `"}`
	return []byte(before + strings.Repeat("x", size-len(before)-len(after)) + after)
}

func response(body []byte) []byte {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return append([]byte(head), body...)
}

func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 16<<10)
	for {
		req, err := readRequest(r)
		if err == nil && req.expects {
			_, err = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if err == nil {
			err = b.readBody(r, req)
		}
		if err == nil {
			err = b.reply(conn, req)
		}
		if err != nil {
			return
		}
	}
}

// request is what a backend needs to know of a head.
type request struct {
	path    string
	length  int64
	chunked bool
	expects bool // 100-continue
}

func readRequest(r *bufio.Reader) (request, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return request{}, err
	}
	words := strings.Fields(line)
	if len(words) != 3 {
		return request{}, errors.New("not a request line")
	}
	req := request{path: words[1]}
	for {
		field, err := r.ReadSlice('\n')
		if err != nil || len(field) <= 2 {
			return req, err
		}
		switch field[0] | 0x20 {
		case 'c', 't', 'e': // the only names that matter begin so
			if err := req.note(string(field)); err != nil {
				return req, err
			}
		}
	}
}

func (req *request) note(field string) (err error) {
	name, value, _ := strings.Cut(field, ":")
	value = strings.TrimSpace(value)
	switch strings.ToLower(name) {
	case "content-length":
		req.length, err = strconv.ParseInt(value, 10, 64)
	case "transfer-encoding":
		req.chunked = strings.EqualFold(value, "chunked")
	case "expect":
		req.expects = strings.EqualFold(value, "100-continue")
	}
	return err
}

func (b *backend) readBody(r *bufio.Reader, req request) error {
	upload := strings.HasPrefix(req.path, uploadsPath)
	if !req.chunked && !upload {
		_, err := r.Discard(int(req.length))
		return err
	}
	var body io.Reader = io.LimitReader(r, req.length)
	if req.chunked {
		body = httputil.NewChunkedReader(r)
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	size, err := io.Copy(sum, body)
	if err != nil {
		return err
	}
	if upload && (req.chunked || size == req.length) {
		b.mu.Lock()
		b.sums[req.path] = checksum(size, sum.Sum32())
		b.mu.Unlock()
	}
	return skipTrailers(r, req.chunked)
}

func skipTrailers(r *bufio.Reader, chunked bool) error {
	for chunked {
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return err
		}
	}
	return nil
}

func checksum(size int64, crc uint32) string { return fmt.Sprintf("%d-%08x", size, crc) }

func (b *backend) reply(conn net.Conn, req request) error {
	switch {
	case req.path == sumsPath:
		b.mu.Lock()
		body, err := json.Marshal(b.sums)
		b.mu.Unlock()
		if err != nil {
			return err
		}
		_, err = conn.Write(response(body))
		return err
	case b.mode == hangs:
		_, err := io.Copy(io.Discard, conn) // until the client leaves
		return errors.Join(err, io.EOF)
	case b.mode == answersLate:
		time.Sleep(late)
	}
	_, err := conn.Write(b.answer)
	return err
}

// startBackend starts a backend as a process of its own.
func startBackend(l *lab, name, mode string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	return l.start(name, self, backendVerb, mode)
}
