package mirrortest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax"
)

// Queue is what stands between mirrors and workers, seen from both sides.
type Queue interface {
	Offer(*parallax.Exchange) bool
	Receive(ctx context.Context, max int) ([]*parallax.Exchange, error)
	Ack(ctx context.Context, ids ...parallax.ID) error
	Len() int
	Close() error
}

// TestQueue is the suite that every implementation of Queue passes. open returns
// an empty queue that holds at least 64 exchanges of a few kilobytes and not
// more than maxCount of them.
func TestQueue(t *testing.T, open func(t *testing.T) (queue Queue, maxCount int)) {
	t.Run("what is offered is received as it was", func(t *testing.T) {
		q, _ := open(t)
		want := Exchanges(3)
		for _, x := range want {
			copied := roundTrip(t, x)
			if !q.Offer(copied) {
				t.Fatal("Offer to an empty queue refused")
			}
		}
		got := receive(t, q, 3)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("received exchanges differ (-offered +received):\n%s", diff)
		}
		for i, x := range got {
			if !bytes.Equal(parallax.AppendExchange(nil, x), parallax.AppendExchange(nil, want[i])) {
				t.Errorf("exchange %d encodes differently after the queue", i)
			}
		}
	})
	t.Run("receive takes at most what it asks for", func(t *testing.T) {
		q, _ := open(t)
		for _, x := range Exchanges(5) {
			q.Offer(x)
		}
		got, err := q.Receive(t.Context(), 2)
		if err != nil || len(got) == 0 || len(got) > 2 {
			t.Errorf("Receive(2) = %d exchanges, %v", len(got), err)
		}
	})
	t.Run("a full queue refuses at once, and has room after an ack", func(t *testing.T) {
		q, maxCount := open(t)
		xs := Exchanges(maxCount + 1)
		for i, x := range xs[:maxCount] {
			if !q.Offer(x) {
				t.Fatalf("Offer refused at %d of %d", i, maxCount)
			}
		}
		if q.Offer(xs[maxCount]) {
			t.Error("Offer to a full queue taken")
		}
		got := receive(t, q, 1)
		if err := q.Ack(t.Context(), got[0].ID); err != nil {
			t.Fatalf("Ack: %v", err)
		}
		if !q.Offer(xs[maxCount]) {
			t.Error("Offer refused after an ack made room")
		}
	})
	t.Run("receive waits no longer than its context", func(t *testing.T) {
		q, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Receive with an ended context: %v, want %v", err, context.Canceled)
		}
	})
	t.Run("after close what is left comes, then the end", func(t *testing.T) {
		q, _ := open(t)
		xs := Exchanges(4)
		for _, x := range xs {
			q.Offer(x)
		}
		if err := q.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if q.Offer(Exchanges(1)[0]) {
			t.Error("Offer after Close taken")
		}
		if got := receive(t, q, 4); len(got) != 4 {
			t.Errorf("%d exchanges after Close, want 4", len(got))
		}
		if _, err := q.Receive(t.Context(), 1); !errors.Is(err, io.EOF) {
			t.Errorf("Receive from a drained queue: %v, want io.EOF", err)
		}
		if err := q.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
	t.Run("each exchange comes to one receiver", func(t *testing.T) { manyReceivers(t, open) })
}

// TestBlockingReceive is for queues in memory: Receive waits for the first
// exchange, however late it comes.
func TestBlockingReceive(t *testing.T, open func(t *testing.T) (queue Queue, maxCount int)) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := open(t)
		got := make(chan int)
		go func() {
			xs, _ := q.Receive(t.Context(), 10)
			got <- len(xs)
		}()
		time.Sleep(time.Hour) // in the bubble's clock: the receiver is blocked by now
		q.Offer(Exchanges(1)[0])
		if n := <-got; n != 1 {
			t.Errorf("received %d, want 1", n)
		}
	})
}

func manyReceivers(t *testing.T, open func(t *testing.T) (Queue, int)) {
	q, maxCount := open(t)
	const receivers = 4
	total := min(maxCount, 200)
	var (
		mu   sync.Mutex
		seen = map[parallax.ID]int{}
		wg   sync.WaitGroup
	)
	for range receivers {
		wg.Go(func() {
			for {
				xs, err := q.Receive(t.Context(), 7)
				if err != nil {
					return
				}
				for _, x := range xs {
					mu.Lock()
					seen[x.ID]++
					mu.Unlock()
					if err := q.Ack(t.Context(), x.ID); err != nil {
						t.Errorf("Ack: %v", err)
					}
				}
			}
		})
	}
	for _, x := range Exchanges(total) {
		if !q.Offer(x) {
			t.Error("Offer refused below the bound")
		}
	}
	q.Close()
	wg.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("exchange %s came %d times", id, n)
		}
	}
	if len(seen) != total {
		t.Errorf("%d exchanges came, want %d", len(seen), total)
	}
}

func receive(t *testing.T, q Queue, n int) []*parallax.Exchange {
	t.Helper()
	var out []*parallax.Exchange
	for len(out) < n {
		xs, err := q.Receive(t.Context(), n-len(out))
		if err != nil {
			t.Fatalf("Receive: %v", err)
		}
		out = append(out, xs...)
	}
	return out
}

func roundTrip(t *testing.T, x *parallax.Exchange) *parallax.Exchange {
	t.Helper()
	out, err := parallax.DecodeExchange(parallax.AppendExchange(nil, x))
	if err != nil {
		t.Fatalf("DecodeExchange: %v", err)
	}
	return out
}

// Exchanges returns n different exchanges with every kind of field filled in.
func Exchanges(n int) []*parallax.Exchange {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	newID := parallax.NewIDSource(func() time.Time { return start }, rand.Reader)
	out := make([]*parallax.Exchange, n)
	for i := range out {
		out[i] = exchange(newID(), i, start)
	}
	return out
}

func exchange(id parallax.ID, i int, start time.Time) *parallax.Exchange {
	body := func(text string) parallax.Body {
		return parallax.Body{Bytes: []byte(text), Size: int64(len(text)), SHA256: sha256.Sum256([]byte(text))}
	}
	x := &parallax.Exchange{
		ID: id, Service: "shop", Endpoint: "POST /orders", Source: parallax.FromProxy,
		User: [16]byte{1, 2, 3}, Received: start.Add(time.Duration(i) * time.Millisecond),
		Live: parallax.Primary, Concurrent: i%2 == 0, Safe: i%3 == 0, Unmapped: [][]string{nil, {"order", "token"}}[i%2],
	}
	request := parallax.Request{
		Method: "POST", Target: fmt.Sprintf("/orders?n=%d", i), Host: "shop.example", Proto: "HTTP/1.1",
		Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}},
		Body:    body(`{"sku":"a"}`), Trailers: []parallax.Field{{Name: "X-Sum", Value: "1"}},
	}
	x.Legs[parallax.Primary] = &parallax.Call{
		Request:  request,
		Response: parallax.Response{Status: 201, Headers: []parallax.Field{{Name: "Etag", Value: "\"1\""}}, Body: body(fmt.Sprintf(`{"id":%d}`, i))},
		Start:    time.Millisecond, First: 3 * time.Millisecond, Done: 4 * time.Millisecond, Version: "1.41.0",
	}
	x.Legs[parallax.Candidate] = &parallax.Call{
		Request: request, Err: parallax.CallErr{Kind: parallax.Timeout, Text: "no answer within 5s"},
		Start: 2 * time.Millisecond, Done: 5 * time.Second,
	}
	return x
}
