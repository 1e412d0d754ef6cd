package main

import (
	"testing"

	"parallax"
)

func TestWhatPartsTheState(t *testing.T) {
	t.Parallel()
	answer := func(status int, effects int, unread string) *parallax.Call {
		return &parallax.Call{Response: parallax.Response{Status: status}, Effects: make([]parallax.Effect, effects), Unread: unread}
	}
	broken := &parallax.Call{Err: parallax.CallErr{Kind: parallax.Reset}, Unread: "x"}
	for _, c := range []struct {
		name               string
		safe               bool
		primary, candidate *parallax.Call
		want               string
	}{
		{"all is known", false, answer(201, 1, ""), answer(500, 0, ""), ""},
		{"not known, and they say the same", false, answer(201, 1, ""), answer(200, 0, "x"), ""},
		{"not known, both refuse", false, answer(409, 0, "x"), answer(422, 0, "x"), ""},
		{"not known, one failed", false, answer(201, 1, ""), answer(503, 0, "x"), "effects_unknown"},
		{"not known, one refuses", false, answer(201, 1, "x"), answer(409, 0, "x"), "effects_unknown"},
		{"not known, both failed", false, answer(503, 0, "x"), answer(503, 0, ""), "effects_unknown"},
		{"not known, no answer", false, answer(201, 1, ""), broken, "effects_unknown"},
		{"nothing can have changed", true, answer(200, 0, ""), answer(503, 0, "x"), ""},
		{"the primary failed alone", false, answer(503, 0, ""), answer(201, 2, ""), "primary_failed"},
		{"the primary failed after it wrote", false, answer(503, 1, ""), answer(503, 0, ""), "primary_failed"},
		{"the primary failed, nobody wrote", false, answer(503, 0, ""), answer(409, 0, ""), ""},
		{"a leg was not asked", false, answer(201, 1, "x"), nil, ""},
	} {
		x := &parallax.Exchange{Safe: c.safe}
		x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = c.primary, c.candidate
		if got := parted(x); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
