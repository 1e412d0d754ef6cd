package ui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/reports"
)

func TestPromotionIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(verb, body string, paused bool) {
		t.Helper()
		answer := r.call("POST", "/api/v1/services/shop/promotion:"+verb, body)
		var got stepDocument
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 200 || got.Paused != paused {
			t.Errorf("%s: %d %s", verb, answer.Code, answer.Body)
		}
	}
	f("pause", "", true)
	f("pause", `{"reason":"a sale"}`, true)
	f("resume", `{"reason":"it is over"}`, false)
	if diff := cmp.Diff([]string{"pause admin API: ", "pause admin API: a sale", "resume admin API: it is over"}, r.policy.told); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
}

func TestPromotionThatCannotBeSwitched(t *testing.T) {
	t.Parallel()
	f := func(r *rig, verb, body string, status int, text string) {
		t.Helper()
		if p := readProblem(t, r.call("POST", "/api/v1/services/shop/promotion:"+verb, body)); p.Status != status || !strings.Contains(p.Detail, text) {
			t.Errorf("%s %.40s: %+v, want %d with %q", verb, body, p, status, text)
		}
	}
	f(newRig(t, func(c *Config) { c.Services[0].Promotion = nil }), "pause", "", 501, "shop")
	f(newRig(t), "pause", `{"reason":"`+strings.Repeat("x", 501)+`"}`, 422, "longer than 500")
	f(newRig(t), "resume", `{}`, 422, "say why")
	f(newRig(t), "resume", "", 415, "application/json")
	r := newRig(t)
	r.policy.err = errors.New("disk full")
	f(r, "pause", "", 500, "log")
}

func TestStepSaysWhatThePolicyDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy.course = reports.Course{To: 100, Next: 500, Code: reports.Baking, Until: now.Add(time.Minute), Auto: true}
	var got struct {
		Course struct {
			Code, Text string
			Next       int
			Until      time.Time
		}
	}
	answer := r.call("GET", "/api/v1/services/shop/step", "")
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if c := got.Course; c.Code != "baking" || c.Next != 500 || !c.Until.Equal(now.Add(time.Minute)) || !strings.HasPrefix(c.Text, "5 % of users come next, after ") {
		t.Errorf("course %+v", c)
	}
	if page := r.call("GET", "/services/shop", "", "Accept", "text/html").Body.String(); !strings.Contains(page, got.Course.Text) {
		t.Errorf("the page does not say %q", got.Course.Text)
	}
}

// TestARefusalSaysWhy: nobody is sent back to a primary that is down, unless a person
// insists.
func TestARefusalSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stepper.refuse = reports.Refusal{Turn: reports.NowhereBack, Text: "no instance of it is up"}
	p := readProblem(t, r.call("POST", "/api/v1/services/shop/rollback", ""))
	if p.Status != 409 || p.Type != problemType+"primary_down" || !strings.Contains(p.Detail, "no instance of it is up") {
		t.Errorf("%+v", p)
	}
	if answer := r.call("POST", "/api/v1/services/shop/rollback", `{"force":true}`); answer.Code != 200 {
		t.Errorf("by force: %d %s", answer.Code, answer.Body)
	}
}
