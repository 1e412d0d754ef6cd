package mirror

import (
	"testing"
	"time"

	"parallax"
)

func TestAllowance(t *testing.T) {
	t.Parallel()
	var a allowance
	now := time.Unix(1_795_000_000, 0)
	take := func(n int64, want bool) {
		t.Helper()
		if got := a.take(n, now); got != want {
			t.Errorf("take(%d) = %v, want %v; %d were left", n, got, want, a.left)
		}
	}
	take(oversizeBurst+1, false)
	take(oversizeBurst, true)
	take(1, false)
	now = now.Add(time.Second)
	take(oversizePerSecond, true)
	take(1, false)
	now = now.Add(-time.Hour) // a clock that steps back gives nothing
	take(1, false)
	now = now.Add(2 * time.Hour)
	take(oversizeBurst, true)
	take(1, false)
}

// TestGivenUpBody is about what an exchange says of an answer that was not read
// to its end: at least so long, and no hash.
func TestGivenUpBody(t *testing.T) {
	t.Parallel()
	c := &capture{max: 4, budget: NewBudget(100)}
	c.write([]byte("abcdef"))
	c.giveUp(10 << 20)
	b := c.body()
	if string(b.Bytes) != "abcd" || b.Size != 10<<20 || !b.Cut || b.SHA256 != [32]byte{} {
		t.Errorf("body %+v", b)
	}
	c = &capture{max: 4, budget: NewBudget(100)}
	c.write([]byte("abcdef"))
	c.ended = true
	if b := c.body(); b.Size != 6 || !b.Cut || b.SHA256 == [32]byte{} {
		t.Errorf("a body that was read to its end: %+v", b)
	}
	if c.cut != parallax.UnmirroredBodySize {
		t.Errorf("cut for %q", c.cut)
	}
}
