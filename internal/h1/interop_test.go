package h1

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// stdBackend is net/http's server, doing one thing per path.
func stdBackend(t testing.TB) (addr string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "ok")
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.WriteHeader(200)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "%d\n", i)
			http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// clients get at a backend in all ways there are here: both sides ours, and
// each of them with net/http on the other end.
func eachPath(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	addr := stdBackend(t)
	_, relayed := start(t, relay(pool(t), addr))
	t.Run("net/http", func(t *testing.T) { f(t, "http://"+addr) })
	t.Run("relayed", func(t *testing.T) { f(t, "http://"+relayed) })
}

func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string, error) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func newRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestGoClientThroughUs has net/http's client and server talk through us as if
// there were nobody between them.
func TestGoClientThroughUs(t *testing.T) {
	t.Parallel()
	eachPath(t, func(t *testing.T, url string) {
		c := newClient(t)
		random := rand.New(rand.NewPCG(1, 2))
		for _, size := range []int{0, 1, 100, 4096, 8191, 8192, 70_000, 3 << 20} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			for _, body := range []io.Reader{bytes.NewReader(data), io.MultiReader(bytes.NewReader(data))} { // with a length and chunked
				_, got, err := get(t, c, newRequest(t, "POST", url+"/echo", body))
				if err != nil || got != string(data) {
					t.Fatalf("echo of %d bytes: %d bytes, %v", size, len(got), err)
				}
			}
		}
		_, got, err := get(t, c, newRequest(t, "GET", url+"/stream", nil))
		if err != nil || got != "0\n1\n2\n" {
			t.Errorf("stream: %q, %v", got, err)
		}
		req := newRequest(t, "POST", url+"/trailers", io.MultiReader(strings.NewReader("x")))
		req.Trailer = http.Header{"X-Sum": {"7"}}
		res, got, err := get(t, c, req)
		if err != nil || got != "ok" || res.Trailer.Get("X-Sum") != "7" {
			t.Errorf("trailers: %q, %v, %v", got, res.Trailer, err)
		}
		if _, got, err := get(t, c, newRequest(t, "GET", url+"/abort", nil)); err == nil || got != "half" {
			t.Errorf("abort: %q, %v", got, err)
		}
		if res, _, err := get(t, c, newRequest(t, "HEAD", url+"/stream", nil)); err != nil || res.StatusCode != 200 {
			t.Errorf("HEAD: %v, %v", res, err)
		}
	})
}

func TestGoClientHearsHints(t *testing.T) {
	t.Parallel()
	addr := stdBackend(t)
	p := pool(t)
	_, relayed := start(t, func(r *Request, w *Writer) {
		m := Message{Method: r.Method, Target: r.Target, Host: r.Host, Headers: r.Headers, Inform: func(status int, headers []parallax.Field) { w.Inform(status, headers) }}
		res, err := p.Do(context.Background(), at(addr), &m)
		if err != nil {
			return
		}
		defer res.Close()
		w.Head(res.Status, res.Headers, res.Length, nil, false)
	})
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
		return nil
	}}
	req := newRequest(t, "GET", "http://"+relayed+"/hints", nil)
	if _, _, err := get(t, newClient(t), req.WithContext(httptrace.WithClientTrace(req.Context(), trace))); err != nil {
		t.Fatal(err)
	}
	equal(t, "hints", hints, []string{"103 </a>"})
}

// TestManyAtOnce mixes requests of all kinds over the same connections; none may
// get another's answer.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	_, addr := start(t, relay(pool(t), stdBackend(t)))
	c := newClient(t)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := range 40 {
				data := strings.Repeat(fmt.Sprintf("%d-%d ", worker, i), 1+i*i*8)
				var body io.Reader = strings.NewReader(data)
				if i%3 == 0 {
					body = io.MultiReader(body)
				}
				req, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+addr+"/sum", body)
				if err != nil {
					t.Error(err)
					return
				}
				res, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				want := fmt.Sprintf("%d %x <nil>", len(data), sha256.Sum256([]byte(data)))
				if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
					t.Errorf("%v %s", err, diff)
				}
			}
		})
	}
	group.Wait()
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is missing; scripts/setup-test.sh installs it")
	}
	_, addr := start(t, relay(pool(t), stdBackend(t)))
	url := "http://" + addr
	big := strings.Repeat("0123456789", 200_000)
	for _, c := range []struct {
		name string
		args []string
		in   string
		want string
	}{
		{"GET twice on one connection", []string{url + "/stream", url + "/stream"}, "", "0\n1\n2\n0\n1\n2\n"},
		{"POST", []string{"--data-binary", "@-", url + "/echo"}, "hello", "hello"},
		{"POST of 2 MB, with Expect", []string{"-H", "Expect: 100-continue", "--data-binary", "@-", url + "/echo"}, big, big},
		{"chunked POST", []string{"-H", "Transfer-Encoding: chunked", "-T", "-", "-X", "POST", url + "/echo"}, big, big},
		{"HTTP/1.0", []string{"--http1.0", url + "/stream"}, "", "0\n1\n2\n"},
		{"absolute form", []string{"--proxy", url, "http://elsewhere.example/stream"}, "", "0\n1\n2\n"},
		{"early hints", []string{"-o", "/dev/null", "-w", "%{http_code}", url + "/hints"}, "", "200"},
		{"aborted", []string{"-w", "%{exitcode}", url + "/abort"}, "", "half18"},
	} {
		cmd := exec.Command(curl, append([]string{"-sS", "--noproxy", "127.0.0.1", "--max-time", "10"}, c.args...)...)
		if strings.Contains(c.name, "absolute") {
			cmd = exec.Command(curl, append([]string{"-sS", "--max-time", "10"}, c.args...)...)
		}
		cmd.Stdin = strings.NewReader(c.in)
		var out bytes.Buffer
		cmd.Stdout = &out
		err := cmd.Run()
		if got := out.String(); got != c.want || err != nil && c.name != "aborted" {
			t.Errorf("%s: got %d bytes %.100q, %v", c.name, len(got), got, err)
		}
	}
}
