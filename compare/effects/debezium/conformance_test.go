package debezium_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax/compare/effects/debezium"
	"parallax/compare/effects/effectstest"
)

// TestReaderConforms runs the suite of readers against a Debezium that is played: it
// sends heartbeats, and for each commit its events one by one.
func TestReaderConforms(t *testing.T) {
	t.Parallel()
	effectstest.Conformance(t, func(t *testing.T) effectstest.Database {
		in, err := debezium.NewInbox([]debezium.Source{{
			Name: "shop", Tables: []string{"notes"}, Keys: map[string][]string{"notes": {"id"}}, Delay: 50 * time.Millisecond, Silence: time.Second,
		}}, nil, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		p := &played{t: t, in: in}
		p.beat(t)
		return effectstest.Database{Reader: in.Reader("shop"), Write: p.write, Cut: p.fallSilent}
	})
}

type played struct {
	t      *testing.T
	in     *debezium.Inbox
	silent atomic.Int64 // until when, in Unix nanoseconds
	tx     int
}

// beat sends heartbeats until the test ends.
func (p *played) beat(t *testing.T) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-ticks.C:
				if now.UnixNano() > p.silent.Load() {
					p.send(fmt.Sprintf(`{"ts_ms":%d}`, now.UnixMilli()))
				}
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

func (p *played) fallSilent() { p.silent.Store(time.Now().Add(1500 * time.Millisecond).UnixNano()) }

// write sends a transaction. What is rolled back is in no log.
func (p *played) write(commit bool, tags []string, ids ...int) {
	if !commit {
		return
	}
	p.tx++
	id, at, order := fmt.Sprintf("%d:%d", p.tx, 100*p.tx), time.Now().UnixMilli(), 0
	tell := func(op, rest string) {
		order++
		p.send(fmt.Sprintf(`{"op":%q,%s,"source":{"connector":"postgresql","name":"shop","ts_ms":%d,"schema":"public","table":"notes","lsn":%d},"transaction":{"id":%q,"total_order":%d,"data_collection_order":%d}}`,
			op, rest, at, 1000*p.tx+order, id, order, order))
	}
	for _, tag := range tags {
		tell("m", fmt.Sprintf(`"message":{"prefix":"parallax","content":%q}`, base64.StdEncoding.EncodeToString([]byte(tag))))
	}
	for _, id := range ids {
		tell("c", fmt.Sprintf(`"before":null,"after":{"id":%d,"note":"x"}`, id))
	}
	p.send(fmt.Sprintf(`{"status":"END","id":%q,"event_count":%d}`, id, order))
}

func (p *played) send(body string) {
	if n, err := p.in.Take([]byte(body), ""); err != nil || n != 1 {
		p.t.Errorf("%s: %d, %v", strings.TrimSpace(body), n, err)
	}
}
