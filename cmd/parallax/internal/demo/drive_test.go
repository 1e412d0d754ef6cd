package demo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, contentType string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader("text"))}
}

func TestDriverKeepsItsRateWhateverTheAnswersTake(t *testing.T) {
	t.Parallel()
	f := func(took time.Duration, bound int, sent int64, p99 time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var tally Tally
			driver := Driver{Base: "http://x", Rate: 100, Bound: bound, Tally: &tally, Next: func() Request { return to("/") },
				HTTP: roundTrip(func(*http.Request) (*http.Response, error) {
					time.Sleep(took) // the bubble's clock
					return answer(http.StatusOK, ""), nil
				})}
			driver.Run(t.Context(), time.Second)
			got := tally.Callers()
			if got.Sent != sent || got.Answered != sent || got.Errors != 0 {
				t.Errorf("answers take %v: %+v, want %d sent and answered", took, got, sent)
			}
			if low, high := p99.Seconds(), p99.Seconds()*growth; got.P99 < low || got.P99 > high {
				t.Errorf("answers take %v: p99 %v s, want %v to %v", took, got.P99, low, high)
			}
		})
	}
	f(time.Millisecond, 10, 100, time.Millisecond)
	f(3*time.Second, 100, 100, 3*time.Second) // an open loop: nobody waits for answers
	// One caller, 20 ms each: a request due at i*10 ms is sent at i*20 ms. It is
	// late, not skipped, and the time it waited counts.
	f(20*time.Millisecond, 1, 100, 1000*time.Millisecond)
	// There is an end to it: the last one that goes out within a second and the
	// grace does so at 22*490 ms.
	f(490*time.Millisecond, 1, 23, 11050*time.Millisecond)
}

func TestDriverStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 105*time.Millisecond)
		defer cancel()
		var tally Tally
		driver := Driver{Base: "http://x", Rate: 100, Bound: 100, Tally: &tally, Next: func() Request { return to("/") },
			HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(time.Second):
					return answer(http.StatusOK, ""), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})}
		driver.Run(ctx, time.Hour)
		if got := tally.Callers(); got.Sent != 11 || got.Answered != 11 {
			t.Errorf("got %+v, want 11 requests sent and answered", got)
		}
	})
}

func TestCallersComplain(t *testing.T) {
	t.Parallel()
	f := func(response *http.Response, err error, want string) {
		t.Helper()
		driver := Driver{HTTP: roundTrip(func(*http.Request) (*http.Response, error) { return response, err })}
		got := driver.ask(Request{Method: http.MethodGet, Target: "/x", Want: []int{http.StatusTeapot}})
		switch {
		case want == "" && got != nil:
			t.Errorf("complains: %v", got)
		case want != "" && (got == nil || !strings.Contains(got.Error(), want)):
			t.Errorf("got %v, want %q", got, want)
		}
	}
	f(answer(http.StatusTeapot, "text/plain"), nil, "")
	f(nil, errors.New("refused"), "no answer: refused")
	f(answer(http.StatusOK, "text/plain"), nil, "not how the old release answers")
	f(answer(http.StatusTeapot, "application/problem+json; charset=utf-8"), nil, "Parallax answered instead of the service")
	broken := answer(http.StatusTeapot, "")
	broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("a"), failing{}))
	f(broken, nil, "the answer broke off")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Go's client repeats a request by itself when a kept connection turns out to be
// closed. A caller with another client would have seen an error.
func TestSilentRepetitionIsAnError(t *testing.T) {
	t.Parallel()
	var once sync.Once
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/drop" {
			return
		}
		once.Do(func() {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		})
	}))
	server.Start()
	defer server.Close()
	transport := NewTransport(1)
	defer transport.CloseIdleConnections()
	driver := Driver{Base: server.URL, HTTP: transport}
	ask := func(path string) error {
		return driver.ask(Request{Method: http.MethodGet, Target: path, Want: []int{http.StatusOK}})
	}
	if err := ask("/keep"); err != nil {
		t.Fatal(err)
	}
	if err := ask("/drop"); err == nil || !strings.Contains(err.Error(), "answered at attempt 2") {
		t.Errorf("got %v", err)
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	h.add(time.Hour)
	f := func(q float64, want time.Duration) {
		t.Helper()
		if got := h.quantile(q); got < want || float64(got) > float64(want)*growth {
			t.Errorf("quantile %v is %v, want %v to 5 %%", q, got, want)
		}
	}
	f(0.01, 2*time.Millisecond)
	f(0.50, 51*time.Millisecond)
	f(0.99, 100*time.Millisecond)
}
