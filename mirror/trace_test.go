package mirror_test

import (
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// Every leg's requests belong to one trace, and say by their parent which shadow of
// which exchange they are; the live leg's are the caller's.
func TestTraceparentOfEachLeg(t *testing.T) {
	t.Parallel()
	f := func(callers string, change func(*mirror.Service), live parallax.Leg, headers ...string) {
		t.Helper()
		var backends [parallax.Legs]*mirrortest.Backend
		for l := range backends {
			backends[l] = mirrortest.NewBackend(t, mirrortest.Status(200))
		}
		cfg := pair(backends[0].URL, backends[1].URL, mirror.Own)
		cfg.Secondary = at(backends[2].URL, mirror.Own)
		change(&cfg)
		r := start(t, cfg)
		if callers != "" {
			headers = append(headers, "Traceparent: "+callers)
		}
		r.do("GET", "/orders/7", "", headers...)
		x := r.next()
		trace, given := parallax.ParseTraceparent(callers)
		if !given {
			trace = parallax.TraceOf(x.ID)
		}
		for l := range parallax.Leg(parallax.Legs) {
			got := backends[l].Wait(t, 1)[0].Header.Get("Traceparent")
			want := trace.ForShadow(x.ID, l).String()
			if l == live {
				want = trace.String()
			}
			if got != want {
				t.Errorf("the %s got the traceparent %q, want %q", l, got, want)
			}
		}
	}
	const callers = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	nobody := parallax.Leg(parallax.Legs)
	f("", func(*mirror.Service) {}, parallax.Primary)
	f(callers, func(*mirror.Service) {}, parallax.Primary)
	onCandidate := func(s *mirror.Service) {
		s.Split.Key, s.Split.Pin = "header:X-User", map[string]string{"ann": "candidate"}
	}
	f(callers, onCandidate, parallax.Candidate, "X-User: ann")
	f(callers, func(s *mirror.Service) { s.Tap, s.Primary.State = true, mirror.Own }, nobody)
}

// What is declared of the header holds for shadows.
func TestTraceparentMayBeRemovedFromShadows(t *testing.T) {
	t.Parallel()
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	cfg.Mirror.Request.Remove = []string{"Traceparent"}
	start(t, cfg).do("GET", "/orders/7", "")
	if got := candidate.Wait(t, 1)[0].Header.Get("Traceparent"); got != "" {
		t.Errorf("the candidate got the traceparent %q", got)
	}
}
