package mirror_test

import (
	"context"
	"runtime"
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// BenchmarkMemQueue is the way of an exchange through the queue to one of two
// receivers, from its offer to its ack. What is reported besides is for how many
// exchanges a receiver is woken.
func BenchmarkMemQueue(b *testing.B) {
	q := mirror.NewMemQueue(1<<16, 1<<40)
	receives := make(chan int)
	for range 2 {
		go func() { receives <- receiveAll(q) }()
	}
	x := mirrortest.Exchanges(1)[0]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		y := *x
		y.ID[13], y.ID[14], y.ID[15] = byte(i>>16), byte(i>>8), byte(i)
		for !q.Offer(&y) {
			runtime.Gosched()
		}
		runtime.Gosched() // as whoever offers does: it reads from its caller
	}
	_ = q.Close()
	b.ReportMetric(float64(b.N)/float64(<-receives+<-receives), "exchanges/receive")
}

// receiveAll takes exchanges until the queue is closed and empty, and returns how
// often it did.
func receiveAll(q *mirror.MemQueue) (times int) {
	for {
		list, err := q.Receive(context.Background(), 16)
		if err != nil {
			return times
		}
		times++
		ids := make([]parallax.ID, len(list))
		for i, x := range list {
			ids[i] = x.ID
		}
		_ = q.Ack(context.Background(), ids...)
	}
}
