package ui

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// fakeSplitters are in a state until they settle in another.
type fakeSplitters struct {
	before, after SplitterStatus
}

func (f fakeSplitters) Status() []SplitterStatus { return []SplitterStatus{f.before} }

func (f fakeSplitters) Settle(ctx context.Context) []SplitterStatus {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil
	}
	return []SplitterStatus{f.after}
}

// TestRollbackSaysWhoHasNotObeyed: 200 once every splitter outside has confirmed it,
// 202 while one has not.
func TestRollbackSaysWhoHasNotObeyed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	zero, high := 0, 2500
	pushing := SplitterStatus{Name: "edge", Step: &high, State: "pushing", Since: now}
	f := func(after SplitterStatus, want int) {
		t.Helper()
		service := r.Server.Services()[0]
		service.Splitters = func() Splitters { return fakeSplitters{pushing, after} }
		if err := r.Server.SetServices([]Service{service}); err != nil {
			t.Fatal(err)
		}
		answer := r.call("POST", "/api/v1/services/shop/rollback", "")
		var doc stepDocument
		if err := json.Unmarshal(answer.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if answer.Code != want || len(doc.Splitters) != 1 || doc.Splitters[0].State != after.State {
			t.Errorf("%d %s, want %d", answer.Code, answer.Body, want)
		}
	}
	f(SplitterStatus{Name: "edge", Step: &zero, State: "confirmed", Since: now}, 200)
	f(SplitterStatus{Name: "edge", Step: &high, State: "away", Since: now, Error: "no route"}, 202)
	if answer := r.call("GET", "/api/v1/services/shop/step", ""); !strings.Contains(answer.Body.String(), `"splitters":[{"name":"edge","step":2500,"state":"pushing"`) {
		t.Errorf("the step does not name its splitters: %s", answer.Body)
	}
	if answer := r.call("GET", "/readyz", ""); answer.Code != 200 || !strings.Contains(answer.Body.String(), "splitter shop/edge") {
		t.Errorf("readyz: %d %s", answer.Code, answer.Body)
	}
	if page := r.call("GET", "/services/shop", "").Body.String(); !strings.Contains(page, "edge: pushing at 25") {
		t.Error("the page does not say how far the splitter is")
	}
}
