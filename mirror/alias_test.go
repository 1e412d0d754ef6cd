package mirror_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestWhatLegsGotIsEachTheirOwn spoils what an exchange holds of one leg, whichever,
// as whoever gets it may: nothing of another leg's headers or answer changes.
func TestWhatLegsGotIsEachTheirOwn(t *testing.T) {
	t.Parallel()
	for _, step := range []int{0, 10000} {
		b := mirrortest.NewBackend(t, mirrortest.JSON(`{"a":1}`))
		cfg := pair(b.URL, b.URL, mirror.Shared)
		cfg.Secondary = at(b.URL, "")
		r := start(t, cfg)
		r.Mirror.Split().SetStep(step)
		for spoilt := range parallax.Leg(parallax.Legs) {
			r.do("GET", "/orders/17", "", "X-Forwarded-For: 192.0.2.7", "Baggage: a=1", "Te: trailers", "Connection: te")
			x := r.next()
			want := map[parallax.Leg]parallax.Call{}
			for l, c := range x.Legs {
				if c == nil || c.Err.Kind != parallax.NoError || c.Response.Status != 200 {
					t.Fatalf("leg %v: %+v", parallax.Leg(l), c)
				}
				got := slices.IndexFunc(c.Request.Headers, func(f parallax.Field) bool {
					return f == parallax.Field{Name: "X-Parallax-Leg", Value: parallax.Leg(l).String()}
				})
				if got < 0 {
					t.Errorf("leg %v was asked with %v", parallax.Leg(l), c.Request.Headers)
				}
				copied := *c
				copied.Request.Headers, copied.Response.Headers = slices.Clone(c.Request.Headers), slices.Clone(c.Response.Headers)
				copied.Response.Body.Bytes = slices.Clone(c.Response.Body.Bytes)
				want[parallax.Leg(l)] = copied
			}
			c := x.Legs[spoilt]
			for _, fields := range [][]parallax.Field{c.Request.Headers, c.Response.Headers} {
				clear(fields[:cap(fields)])
			}
			clear(c.Response.Body.Bytes[:cap(c.Response.Body.Bytes)])
			for l, other := range x.Legs {
				if diff := cmp.Diff(want[parallax.Leg(l)], *other); parallax.Leg(l) != spoilt && diff != "" {
					t.Errorf("step %d: with %v spoilt, %v changed: %s", step, spoilt, parallax.Leg(l), diff)
				}
			}
		}
	}
}
