package ui

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax/reports"
)

func TestWayBackAsASentence(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]reports.WayBack{
		"On the way back nothing is missing.":                                                 {},
		"On the way back the primary lacks 1 write, the oldest write since 1.5s.":             {WritesMissing: 1, Lag: 1.5},
		"On the way back the primary lacks 12 writes and 1 value that the candidate made up.": {WritesMissing: 12, IDsUnknown: 1},
		"On the way back the primary lacks 3 values that the candidate made up.":              {IDsUnknown: 3},
	} {
		if got := wayBackText(w); got != want {
			t.Errorf("%+v: %q, want %q", w, got, want)
		}
	}
}

// TestMissingWritesAreListed: of the leg that is asked for, up to the limit.
func TestMissingWritesAreListed(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var leg string
	r := newRig(t, func(c *Config) {
		c.Services[0].MissingWrites = func(l string, limit int) ([]MissingWrite, error) {
			if leg = l; l == "secondary" {
				return nil, errors.New("the disk is gone")
			}
			return []MissingWrite{{Exchange: "a", Endpoint: "POST /orders", Received: at, Why: "reset"}, {Exchange: "b", Endpoint: "POST /orders", Received: at}}[:min(2, limit)], nil
		}
		c.Services[0].WayBack = func() reports.WayBack { return reports.WayBack{WritesMissing: 2, Lag: 0.5} }
	})
	f := func(query string, status int, want ...string) {
		t.Helper()
		answer := r.call("GET", "/api/v1/services/shop/missing"+query, "")
		for _, text := range want {
			if !strings.Contains(answer.Body.String(), text) {
				t.Errorf("%s: %s, want %s", query, answer.Body, text)
			}
		}
		if answer.Code != status {
			t.Errorf("%s: %d %s, want %d", query, answer.Code, answer.Body, status)
		}
	}
	f("", http.StatusOK, `"leg":"primary"`, `"exchange":"a"`, `"why":"reset"`, `"exchange":"b"`, `"more":false`)
	f("?limit=1", http.StatusOK, `"exchange":"a"`, `"more":true`)
	f("?leg=candidate", http.StatusOK, `"leg":"candidate"`)
	if leg != "candidate" {
		t.Errorf("the %s was asked for", leg)
	}
	f("?leg=other", http.StatusBadRequest, "want one of primary, candidate, secondary")
	f("?limit=0", http.StatusBadRequest)
	f("?leg=secondary", http.StatusInternalServerError)
	if answer := r.call("GET", "/api/v1/services/shop/step", ""); !strings.Contains(answer.Body.String(), `"way_back":{"writes_missing":2,"lag_s":0.5,"ids_unknown":0,"text":"On the way back the primary lacks 2 writes, the oldest write since 500ms."}`) {
		t.Errorf("%s", answer.Body)
	}
}
