package shoppers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a shop that takes everything, and remembers what it was asked. It is
// asked without a network.
type counter struct {
	mu    sync.Mutex
	next  int
	asked []string
	fail  func(*http.Request) int // 0: no
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	number := c.next
	c.asked = append(c.asked, fmt.Sprint(r.Header.Get("X-User"), " ", r.Method, " ", r.URL.Path, "?", r.URL.RawQuery, " ", r.Header.Get("Idempotency-Key"), " ", string(text)))
	w := httptest.NewRecorder()
	if c.fail != nil && c.fail(r) != 0 {
		w.WriteHeader(c.fail(r))
		return w.Result(), nil
	}
	answer(w, r, number, string(text))
	return w.Result(), nil
}

// answer is right for every route, and says little.
func answer(w http.ResponseWriter, r *http.Request, number int, text string) {
	order := map[string]any{"id": 1, "status": "placed", "total_cents": 100, "items": []line{{"A", 1}, {"B", 2}}}
	status, value := http.StatusOK, any(order)
	switch r.Method + " " + r.URL.Path {
	case "POST /customers":
		status = http.StatusCreated
	case "POST /sessions":
		status, value = http.StatusCreated, map[string]string{"token": fmt.Sprint("t", number)}
		if strings.Contains(text, "wrong") {
			status = http.StatusUnauthorized
		}
	case "DELETE /sessions":
		status = http.StatusNoContent
	case "GET /products":
		value = map[string]any{"products": []map[string]any{{"sku": "A", "available": true}, {"sku": "B", "available": true}, {"sku": "P-SOLD-OUT"}}}
	case "GET /orders":
		value = map[string]string{"next_cursor": "more"}
		if r.Header.Get("Authorization") == "" {
			status = http.StatusUnauthorized
		}
	case "POST /orders":
		status = http.StatusCreated
		if strings.Contains(text, "P-SOLD-OUT") {
			status = http.StatusConflict
		}
		if strings.Contains(text, "P-NO-SUCH") {
			status = http.StatusUnprocessableEntity
		}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// TestSameSeedSameRequests: shopper by shopper two runs ask the same, though they
// run side by side; another seed asks something else.
func TestSameSeedSameRequests(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []string {
		c := &counter{}
		seen := Run(t.Context(), Options{Base: "http://shop", Count: 8, Seed: seed, Visits: 6, HTTP: c})
		if seen.Errors > 0 || seen.Sent != int64(len(c.asked)) {
			t.Errorf("%d sent, %d asked, errors: %v", seen.Sent, len(c.asked), seen.Examples)
		}
		for _, route := range []string{"POST /customers", "POST /sessions", "DELETE /sessions", "GET /products", "POST /orders", "GET /orders", "GET /orders/{id}", "PATCH /orders/{id}", "POST /orders/{id}/pay", "POST /orders/{id}/cancel"} {
			if seen.Routes[route] == 0 {
				t.Errorf("nobody asked for %s", route)
			}
		}
		slices.SortStableFunc(c.asked, func(a, b string) int { return cmp.Compare(strings.Fields(a)[0], strings.Fields(b)[0]) })
		return c.asked
	}
	one := run(1)
	if diff := gocmp.Diff(one, run(1)); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	if slices.Equal(one, run(2)) {
		t.Error("another seed asks the same")
	}
}

// TestRateHolds: all shoppers together send as many requests as they are told.
func TestRateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		seen := Run(ctx, Options{Base: "http://shop", Count: 50, Seed: 1, Rate: 100, HTTP: &counter{}})
		if seen.Sent < 990 || seen.Sent > 1010 || seen.Errors > 0 {
			t.Errorf("%d requests in 10 s at 100 a second, errors %v", seen.Sent, seen.Examples)
		}
	})
}

// TestErrorsAreCounted: an answer with another status than the shopper counts on is
// an error, and a lost session only makes him log in again.
func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	var answers []Answer
	c := &counter{fail: func(r *http.Request) int {
		if r.Method == http.MethodPatch {
			return http.StatusBadGateway
		}
		return 0
	}}
	seen := Run(t.Context(), Options{Base: "http://shop", Count: 1, Seed: 3, Visits: 20, HTTP: c, Seen: func(a Answer) { answers = append(answers, a) }})
	if seen.Errors == 0 || seen.Errors != seen.Routes["PATCH /orders/{id}"] || len(answers) != int(seen.Sent) {
		t.Errorf("%d errors of %d, %v", seen.Errors, seen.Sent, seen.Routes)
	}
	want := "shopper-3-0: PATCH /orders/1: status 502, want [200]: "
	if len(seen.Examples) == 0 || seen.Examples[0] != want {
		t.Errorf("examples are %q, want %q", seen.Examples, want)
	}

	c = &counter{fail: func(r *http.Request) int {
		if r.Header.Get("Authorization") == "Bearer t2" || r.Header.Get("Authorization") == "Bearer t3" {
			return http.StatusUnauthorized
		}
		return 0
	}}
	if seen := Run(t.Context(), Options{Base: "http://shop", Count: 1, Seed: 3, Visits: 20, HTTP: c}); seen.Errors == 0 || seen.Errors > 3 {
		t.Errorf("a session was lost once, errors are %v", seen.Examples)
	}
}
