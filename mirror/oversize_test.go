package mirror_test

import (
	"sync/atomic"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// tooLong is more than may be read of an answer at once, in bytes.
const tooLong = 65 << 20

// handClock is moved on by hand, so that no allowance grows and no wait ends on a
// slow machine.
type handClock struct {
	began time.Time
	moved atomic.Int64
}

func newHandClock() *handClock { return &handClock{began: time.Now()} }

func (c *handClock) move(by time.Duration) { c.moved.Add(int64(by)) }

// drive has a mirror go by the clock.
func (c *handClock) drive(d *mirror.Deps) {
	d.Now = func() time.Time { return c.began.Add(time.Duration(c.moved.Load())) }
}

// TestOversizeAnswersAreGivenUp has a candidate that answers 10 MB to everything.
// The first answers are read to their end, and then no more than the allowance:
// the processor belongs to callers.
func TestOversizeAnswersAreGivenUp(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Sized(size))
	clock := newHandClock()
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), clock.drive)
	var whole, givenUp int
	for givenUp == 0 {
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
	if whole == 0 {
		t.Error("no answer was read to its end")
	}

	// The leg is left alone on this endpoint, but not on others, and not for writes.
	asked := candidate.Count()
	r.do("GET", "/", "")
	if places := r.settled(whole + givenUp + 1); places[parallax.LostAnswerSize] != 1 || candidate.Count() != asked {
		t.Errorf("places %v, the candidate was asked %d times more", places, candidate.Count()-asked)
	}
	r.do("GET", "/another", "")
	r.next()
	r.do("POST", "/", "")
	r.next()
	r.do("POST", "/", "")
	r.next()
	clock.move(-time.Hour) // which says nothing about how long ago that was
	r.do("GET", "/", "")
	r.next()
	clock.move(time.Hour + 10*time.Second)
	r.do("GET", "/", "")
	r.next()
	if n := candidate.Count() - asked; n != 5 {
		t.Errorf("the candidate was asked %d times, want 5", n)
	}
}

// After a wait one request tries whether answers are shorter now. While it is under
// way the others wait on; once its answer has come to its end, they need not.
func TestOneRequestTriesWhetherAnswersAreShorter(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Sized(tooLong))
	clock := newHandClock()
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), clock.drive)
	r.do("GET", "/", "")
	r.next()
	candidate.Become(mirrortest.Held(release, mirrortest.Status(200)))
	clock.move(11 * time.Second)
	r.do("GET", "/", "")
	candidate.Wait(t, 2)
	r.do("GET", "/", "")
	if places := r.atShadows(1); places[parallax.LostAnswerSize] != 1 {
		t.Errorf("places %v: want one that tries, and one that waits", places)
	}
	close(release)
	r.next()
	r.do("GET", "/", "")
	if r.next(); candidate.Count() != 3 {
		t.Errorf("the candidate was asked %d times, want 3", candidate.Count())
	}
}

// TestEveryRequestThatTriesMayEndTheWait has a candidate that takes longer to answer
// than others wait for it: what the first of two learns counts while the second is
// under way, and so it does when it learns that there is no answer at all.
func TestEveryRequestThatTriesMayEndTheWait(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]mirrortest.Answer{"a short answer": mirrortest.Status(200), "no answer": mirrortest.Reset} {
		first, second := make(chan struct{}), make(chan struct{})
		primary := mirrortest.NewBackend(t, mirrortest.Status(200))
		candidate := mirrortest.NewBackend(t, mirrortest.Sized(tooLong))
		clock := newHandClock()
		r := start(t, pair(primary.URL, candidate.URL, mirror.Own), clock.drive)
		r.do("GET", "/", "")
		r.next()
		candidate.Become(mirrortest.Held(first, answer))
		clock.move(11 * time.Second)
		r.do("GET", "/", "")
		candidate.Wait(t, 2)
		candidate.Become(mirrortest.Held(second, mirrortest.Status(200)))
		clock.move(2 * time.Second)
		r.do("GET", "/", "")
		candidate.Wait(t, 3)
		close(first)
		r.next()
		candidate.Become(mirrortest.Status(200))
		r.do("GET", "/", "")
		if places := r.atShadows(1); places[parallax.LostAnswerSize] != 0 || candidate.Count() != 4 {
			t.Errorf("%s: places %v, and the candidate was asked %d times: want 4", name, places, candidate.Count())
		}
		close(second)
		r.settled(4)
	}
}

// TestRequestThatCannotTryLeavesItToTheNext: where the leg has no room for the
// request that would try, the others are not kept waiting for it.
func TestRequestThatCannotTryLeavesItToTheNext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Sized(tooLong))
	clock := newHandClock()
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.InFlight = 1
	r := start(t, cfg, clock.drive)
	r.do("GET", "/", "")
	r.next()
	candidate.Become(mirrortest.Held(release, mirrortest.Status(200)))
	r.do("GET", "/another", "")
	candidate.Wait(t, 2)
	clock.move(11 * time.Second)
	r.do("GET", "/", "")
	if places := r.atShadows(1); places[parallax.UnmirroredConcurrency] != 1 {
		t.Errorf("places %v: want one for which there is no room", places)
	}
	close(release)
	r.next()
	r.atShadows(0)
	r.do("GET", "/", "")
	if places := r.settled(4); places[parallax.LostAnswerSize] != 0 || candidate.Count() != 3 {
		t.Errorf("places %v, and the candidate was asked %d times: want 3", places, candidate.Count())
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
