package ui

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const candidateEvents = "/api/v1/effects/shop/candidate"

func TestEventsAreTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(contentType, want string) {
		t.Helper()
		answer := r.call("POST", candidateEvents+"?name=legacy", `{"op":"c"}`, "Content-Type", contentType)
		if answer.Code != http.StatusAccepted || strings.TrimSpace(answer.Body.String()) != want {
			t.Errorf("%s: %d %s", contentType, answer.Code, answer.Body)
		}
		if r.events.body != `{"op":"c"}` || r.events.database != "legacy" {
			t.Errorf("got %q of %q", r.events.body, r.events.database)
		}
	}
	f("application/json", `{"service":"shop","leg":"candidate","queued":2}`)
	f("application/cloudevents+json; charset=utf-8", `{"service":"shop","leg":"candidate","queued":2}`)
}

func TestEventsAreRefused(t *testing.T) {
	t.Parallel()
	f := func(r *rig, target, contentType, body string, status int, text string) problem {
		t.Helper()
		answer := r.call("POST", target, body, "Content-Type", contentType)
		p := readProblem(t, answer)
		if p.Status != status || !strings.Contains(p.Detail, text) {
			t.Errorf("%s %.40s: %+v, want %d with %q", target, body, p, status, text)
		}
		if after := answer.Header().Get("Retry-After"); (after != "") != (status == 503) {
			t.Errorf("%d with Retry-After %q", status, after)
		}
		return p
	}
	r := newRig(t)
	f(r, "/api/v1/effects/cart/candidate", "application/json", "{}", 404, "cart")
	p := f(r, "/api/v1/effects/shop/secondary", "application/json", "{}", 404, "secondary")
	if diff := cmp.Diff([]string{"candidate", "primary"}, p.Known); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	f(r, candidateEvents, "avro/bytes", "x", 415, "avro/bytes")
	f(r, candidateEvents, "text/json", "{}", 415, "text/json")
	f(r, candidateEvents, "application/json", strings.Repeat(" ", maxEventBody+1), 413, "longer")
	if r.events.body != "" {
		t.Errorf("%.40q was taken", r.events.body)
	}
	r.events.taken = TakenEvents{Faults: []string{"event 0, op: is missing", "event 3, source.table: is missing"}}
	p = f(r, candidateEvents, "application/json", "[]", 422, "event 3, source.table: is missing")
	if diff := cmp.Diff(r.events.taken.Faults, p.Faults); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r.events.taken = TakenEvents{Full: true}
	f(r, candidateEvents, "application/json", "[]", 503, "faster")
}
