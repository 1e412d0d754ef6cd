package mirror_test

import (
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestOversizeAnswersAreGivenUp has a candidate that answers 10 MB to everything.
// The first answers are read to their end, and then no more than the allowance:
// the processor belongs to callers.
func TestOversizeAnswersAreGivenUp(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Sized(size))
	now := time.Now() // stands still, so that the allowance does not grow on a slow machine
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), func(d *mirror.Deps) { d.Now = func() time.Time { return now } })
	var whole, givenUp int
	for range 30 {
		r.do("GET", "/", "")
		x := r.next()
		body, err := x.Legs[parallax.Candidate].Response.Body, x.Legs[parallax.Candidate].Err
		switch {
		case err.Kind != parallax.NoError || !body.Cut || body.Size != size:
			t.Fatalf("err %+v, cut %v, size %d", err, body.Cut, body.Size)
		case body.SHA256 == [32]byte{}:
			givenUp++
		default:
			whole++
		}
	}
	if whole == 0 || givenUp == 0 {
		t.Errorf("%d answers were read to their end and %d given up, want some of each", whole, givenUp)
	}
}

// TestHeadHasNoBodyToGiveUp is about a declared length that is not the answer's.
func TestHeadHasNoBodyToGiveUp(t *testing.T) {
	t.Parallel()
	head := mirrortest.Raw([]byte("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n"))
	primary := mirrortest.NewBackend(t, head)
	candidate := mirrortest.NewBackend(t, head)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	r.do("HEAD", "/", "")
	x := r.next()
	for _, l := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		if b := x.Legs[l].Response.Body; b.Cut || b.Size != 0 || b.SHA256 == [32]byte{} {
			t.Errorf("%v: body of a HEAD: %+v", l, b)
		}
	}
}
