package ui

import (
	"net/http"
	"strings"
	"testing"
)

// TestEvidenceIsStreamed: the store's absence is a problem document before the first line,
// and an answer without its end after it.
func TestEvidenceIsStreamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails  string
		status int
		body   string
	}{
		{"", http.StatusOK, "{\"head\":{}}\n{\"end\":{}}\n"},
		{"later", http.StatusOK, "{\"head\":{}}\n"},
		{"at once", http.StatusServiceUnavailable, "store"},
	} {
		r := newRig(t)
		r.judge.exportFails = c.fails
		answer := r.call("GET", "/api/v1/services/shop/evidence", "")
		if answer.Code != c.status || c.status == 200 && answer.Body.String() != c.body || !strings.Contains(answer.Body.String(), c.body) {
			t.Errorf("fails %q: %d %q, want %d %q", c.fails, answer.Code, answer.Body, c.status, c.body)
		}
		if c.status != 200 && answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("fails %q: %s", c.fails, answer.Header().Get("Content-Type"))
		}
	}
}
