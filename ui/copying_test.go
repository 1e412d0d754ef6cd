package ui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopyIsBegunAndEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(method, target, body string, want *Copy) {
		t.Helper()
		answer := r.call(method, "/api/v1/services/shop/"+target, body)
		var got copyDocument
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 200 {
			t.Fatalf("%s %s: %d %s", method, target, answer.Code, answer.Body)
		}
		if diff := cmp.Diff(copyDocument{Service: "shop", Copy: want}, got); diff != "" {
			t.Errorf("%s %s (-want +got)\n%s", method, target, diff)
		}
	}
	shown := func(want bool) {
		t.Helper()
		if page := r.call("GET", "/", "", "Accept", "text/html").Body.String(); strings.Contains(page, "being made anew") != want {
			t.Errorf("the overview says that the database is being made anew: %v, want %v", !want, want)
		}
	}
	copying := &Copy{Leg: "candidate", State: "copying", Who: "admin API", Reason: "a new one", Began: now, Position: "0/16B3748", Snapshot: "00000003-00000002-1"}
	f("GET", "copy", "", nil)
	f("POST", "copy:begin", `{"reason":"a new one"}`, copying)
	f("GET", "copy", "", copying)
	shown(true)
	f("POST", "copy:end", "", &Copy{Leg: "candidate", State: "copied", Began: now, Ended: now, Position: "0/16B3748"})
	shown(false)
	f("POST", "copy:cancel", "", nil)
}

func TestCopyThatCannotBeMade(t *testing.T) {
	t.Parallel()
	f := func(r *rig, verb, body string, status int, text string) {
		t.Helper()
		if p := readProblem(t, r.call("POST", "/api/v1/services/shop/copy:"+verb, body)); p.Status != status || !strings.Contains(p.Detail, text) {
			t.Errorf("%s %.40s: %+v, want %d with %q", verb, body, p, status, text)
		}
	}
	f(newRig(t, func(c *Config) { c.Services[0].Copying = nil }), "begin", "", 501, "shop")
	f(newRig(t), "end", `{"why":"x"}`, 400, "why")
	f(newRig(t), "cancel", `{"reason":"`+strings.Repeat("x", 501)+`"}`, 422, "longer than 500")
	r := newRig(t)
	r.copying.err = errors.New("the database of the primary is not read at the moment")
	f(r, "begin", "", 409, "not read at the moment")
}
