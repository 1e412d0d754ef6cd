package ui

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/internal/ids"
)

func (r *fakeRehearsal) SuggestIdentifiers(_ context.Context, service string, f divergence.PairFilter) (divergence.SuggestedIdentifiers, error) {
	r.pairs = f
	return divergence.SuggestedIdentifiers{
		Service: service, At: now, Pairs: divergence.Sample{Looked: 20, Stored: 20, From: now, To: now},
		Suggestions: []ids.Suggestion{{
			Name: "order", From: []string{"POST /orders $.id"}, In: []string{"path:/orders/{id}"}, Pairs: 20, Named: 12,
			YAML: `- { name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}"] }`,
		}},
	}, r.err
}

// TestSuggestIdentifiers: the choice of pairs arrives as it was sent, and whoever
// has to wait is told so.
func TestSuggestIdentifiers(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/services/shop/identifiers:suggest"
	r := newRig(t)
	if answer := r.call("GET", path+"?limit=7&endpoint=GET+%2Fx", ""); answer.Code != http.StatusOK {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if d := cmp.Diff(divergence.PairFilter{Endpoint: "GET /x", Limit: 7}, r.rehearsal.pairs); d != "" {
		t.Errorf("pairs (-want +got)\n%s", d)
	}
	if answer := r.call("GET", path+"?limit=0", ""); answer.Code != http.StatusBadRequest {
		t.Errorf("limit 0: %d", answer.Code)
	}
	r.rehearsal.err = divergence.ErrBusy
	if answer := r.call("GET", path, ""); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("busy: %d %v", answer.Code, answer.Header())
	}
	none := newRig(t, func(c *Config) { c.Rehearsal = nil })
	if answer := none.call("GET", path, ""); answer.Code != http.StatusNotImplemented {
		t.Errorf("without a rehearsal: %d", answer.Code)
	}
}
