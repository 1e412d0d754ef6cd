package ui

import (
	"net/http"
	"strings"
	"testing"

	"parallax/divergence"
)

// TestWhatTheCandidateWroteIsListed: the service's page leads to the rows, and the page of
// those says what is not on it.
func TestWhatTheCandidateWroteIsListed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, total := "17", "9.50"
	key := []divergence.ColumnLine{{Name: "id", Value: &id}}
	r.store.written = divergence.Written{
		Rows: []divergence.WrittenRow{
			{Leg: "primary", Table: "orders", Key: key, Op: "update", After: append(key[:1:1], divergence.ColumnLine{Name: "total", Value: &total}, divergence.ColumnLine{Name: "note"}), Changes: 3, Endpoint: "POST /orders", First: now, Last: now},
			{Leg: "primary", Table: "sessions", Key: key, Op: "delete", Changes: 1, Endpoint: "DELETE /sessions", First: now, Last: now},
		},
		More: true, Unlisted: 4, Gaps: []divergence.EffectGap{{Leg: "primary", Database: "old/shop", From: now, Why: "the server went away"}},
	}
	leads := false
	for n := range parsePage(t, r, "/services/shop", http.StatusOK).Descendants() {
		leads = leads || attribute(n, "href") == "/services/shop/written"
	}
	if !leads {
		t.Error("the service's page does not lead to what the candidate wrote")
	}
	got := text(parsePage(t, r, "/services/shop/written", http.StatusOK))
	for _, want := range []string{"orders of the primary", "id 17", "update", "total 9.50 note NULL", "sessions", "delete", "the latest 2", "4 further changes", "the server went away"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q:\n%s", want, got)
		}
	}
	if answer := r.call("GET", "/api/v1/services/shop/written?limit=1001", ""); answer.Code != http.StatusBadRequest {
		t.Errorf("a limit of 1001: %d", answer.Code)
	}
}
