package mirror_test

import (
	"testing"
	"testing/synctest"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// A receiver waits for more exchanges only while there is room for many: a queue
// that is nearly full would turn them away meanwhile.
func TestReceiveWaitsForMoreOnlyWhereThereIsRoom(t *testing.T) {
	t.Parallel()
	f := func(name string, exchanges int, memory int64, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			q := mirror.NewMemQueue(exchanges, memory)
			x := mirrortest.Exchanges(1)[0]
			x.Legs[parallax.Primary].Response.Body.Bytes = make([]byte, 60<<10)
			if !q.Offer(x) {
				t.Fatalf("%s: there is no room for one", name)
			}
			began := time.Now()
			if list, err := q.Receive(t.Context(), 16); len(list) != 1 || err != nil {
				t.Fatalf("%s: %d exchanges, %v", name, len(list), err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s: it waits %v for more, want %v", name, took, want)
			}
		})
	}
	f("room for many", 1000, 1<<20, time.Millisecond)
	f("room for few exchanges", 16, 1<<20, 0)
	f("room for few bytes", 1000, 100<<10, 0)
}
