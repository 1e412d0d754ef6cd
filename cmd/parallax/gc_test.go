package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		alive uint64
		want  int
	}{
		{0, 3200}, {1 << 20, 3200}, {4 << 20, 3200}, {8 << 20, 1600}, {64 << 20, 200},
		{128 << 20, 100}, {1 << 30, 100}, {1 << 50, 100},
	} {
		if got := percentFor(c.alive); got != c.want {
			t.Errorf("percentFor(%d) = %d, want %d", c.alive, got, c.want)
		}
	}
}

// TestPaceFollowsWhatIsAlive has much be alive, and then little: the pace must be
// the runtime's own, and then the mirror's again.
func TestPaceFollowsWhatIsAlive(t *testing.T) {
	pace := func() int {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	before := pace()
	defer debug.SetGCPercent(before)
	paceGC(func(string) string { return "50" })
	if got := pace(); got != before {
		t.Errorf("GOGC is set, and the pace is %d, not %d", got, before)
	}
	paceGC(func(string) string { return "" })
	if got := pace(); got != gcMost {
		t.Errorf("the pace begins at %d, want %d", got, gcMost)
	}
	held := make([]byte, 4*gcRoom)
	eventually(t, "the pace is the runtime's", func() bool { runtime.GC(); return pace() <= gcPercent+gcPercent/8 })
	runtime.KeepAlive(held)
	held = nil
	eventually(t, "the pace is the mirror's", func() bool { runtime.GC(); return pace() > 2*gcPercent })
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if happened() {
			return
		}
		<-tick.C
	}
	t.Errorf("waited in vain: %s", what)
}
