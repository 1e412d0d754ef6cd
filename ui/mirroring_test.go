package ui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMirroringIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(method, target, body string, want MirroringState) {
		t.Helper()
		answer := r.call(method, "/api/v1/services/shop/"+target, body)
		var got MirroringState
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 200 {
			t.Fatalf("%s %s: %d %s", method, target, answer.Code, answer.Body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s (-want +got)\n%s", method, target, diff)
		}
	}
	paused := MirroringState{Paused: true, By: "person", Who: "admin API", Reason: "it pages people", At: now}
	f("GET", "mirroring", "", MirroringState{})
	f("POST", "mirroring:pause", `{"reason":"it pages people"}`, paused)
	f("GET", "mirroring", "", paused)
	if page := r.call("GET", "/", "", "Accept", "text/html").Body.String(); !strings.Contains(page, "<dt>Mirroring</dt>") || !strings.Contains(page, "it pages people") {
		t.Error("the overview does not say that mirroring is paused, and why")
	}
	f("POST", "mirroring:resume", "", MirroringState{})
	if page := r.call("GET", "/", "", "Accept", "text/html").Body.String(); strings.Contains(page, "<dt>Mirroring</dt>") {
		t.Error("the overview shows a pause that is over")
	}
}

func TestMirroringThatCannotBeSwitched(t *testing.T) {
	t.Parallel()
	const target = "/api/v1/services/shop/mirroring:pause"
	f := func(r *rig, body string, status int, text string) {
		t.Helper()
		if p := readProblem(t, r.call("POST", target, body)); p.Status != status || !strings.Contains(p.Detail, text) {
			t.Errorf("%.40s: %+v, want %d with %q", body, p, status, text)
		}
	}
	f(newRig(t, func(c *Config) { c.Services[0].Mirroring = nil }), "", 501, "shop")
	f(newRig(t), `{"reason":"`+strings.Repeat("x", 501)+`"}`, 422, "longer than 500")
	f(newRig(t), `{"why":"x"}`, 400, "why")
	r := newRig(t)
	r.mirroring.err = errors.New("disk full")
	f(r, "", 500, "log")
}

func TestTheWatchdogsPauseSaysWhenItEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.mirroring.state = MirroringState{Paused: true, By: "watchdog", Reason: "the live leg is slower with mirroring", At: now, Until: now.Add(time.Minute)}
	page := r.call("GET", "/", "", "Accept", "text/html").Body.String()
	for _, want := range []string{"by the watchdog", "until <time", "slower with mirroring"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A leg that tripped is shown with what it did, and released with a reason alone.
func TestATrippedLegIsReleasedByAPersonWhoSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	trip := LegTrip{Leg: "candidate", Reason: "it committed an insert into orders", At: now}
	r.mirroring.state = MirroringState{Tripped: []LegTrip{trip}}
	page := r.call("GET", "/", "", "Accept", "text/html").Body.String()
	for _, want := range []string{"Mirroring to the candidate", "it committed an insert into orders", "until a person resumes mirroring"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	const target = "/api/v1/services/shop/mirroring:resume"
	if p := readProblem(t, r.call("POST", target, "")); p.Status != 422 || !strings.Contains(p.Detail, "say why") {
		t.Errorf("without a reason: %+v", p)
	}
	if answer := r.call("POST", target, `{"reason":"it is declared shared now"}`); answer.Code != 200 || strings.Contains(answer.Body.String(), "tripped") {
		t.Errorf("with a reason: %d %s", answer.Code, answer.Body)
	}
}
