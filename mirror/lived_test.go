package mirror_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestWhatTheCandidateAnswersAloneIsTold: each request that nobody compares, without its
// bodies; nothing that the primary answered, and nothing that is compared.
func TestWhatTheCandidateAnswersAloneIsTold(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(201))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared), func(d *mirror.Deps) {
		d.Lived = func(x *parallax.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			c := x.Legs[parallax.Candidate]
			told = append(told, x.Endpoint+" "+c.Request.Target)
			if c.Response.Status != 201 || c.Request.Body.Bytes != nil || c.Response.Body.Bytes != nil || x.Legs[parallax.Primary] != nil || x.ID == (parallax.ID{}) {
				t.Errorf("told of %+v", x)
			}
		}
	})
	r.do("POST", "/orders", "a")
	r.Mirror.Split().SetStep(10_000)
	r.do("POST", "/orders", "b")
	r.do("GET", "/orders/1", "")
	r.do("PUT", "/orders/2", "c")
	r.settled(4)
	mu.Lock()
	defer mu.Unlock()
	if d := cmp.Diff([]string{"POST /orders /orders", "PUT /orders/{id} /orders/2"}, told); d != "" {
		t.Errorf("told (-want +got)\n%s", d)
	}
}
