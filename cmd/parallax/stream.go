package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/divergence"
	"parallax/mirror"
	"parallax/mirror/redisqueue"
	"parallax/ui"
)

// openQueue opens the queue between mirroring and comparing: in this process, or in Redis,
// which is not waited for.
func (s *server) openQueue(secrets keys) (err error) {
	c := s.cfg.Queue
	if c.URL == "" {
		s.queue = mirror.NewMemQueue(c.Exchanges, int64(c.Memory))
		return nil
	}
	deps := redisqueue.Deps{
		Key: secrets.queue, Exchanges: c.Exchanges, Bytes: int64(c.Memory), Log: s.log,
		Sent: s.ledger.Hand, Aside: s.ledger.SetAside, Found: s.ledger.Found, Stored: s.stored,
		Ready: func() error { return s.recorder.Err() },
		Lost:  func(x parallax.Stamp, why parallax.Place) { s.ledger.Move(x, parallax.InQueue, why) },
		Dropped: func(x parallax.Stamp, why parallax.Place) {
			s.ledger.Fetch(x)
			s.ledger.Move(x, parallax.InWorker, why)
		},
	}
	if s.cfg.roles.plays(partMirror) {
		deps.Dir = filepath.Join(s.cfg.StateDir, "queue")
	}
	if s.stream, err = redisqueue.Open(c.Config, deps); err == nil {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parallax_stream_exchanges",
			Help: "Exchanges in Redis, and on the way there from this process, that no worker has stored yet, as far as is known here; queue.exchanges bounds them.",
		}, func() float64 { return float64(s.stream.Len()) }))
	}
	return err
}

// stored asks the store; it is not there yet when the queue is opened.
func (s *server) stored(ctx context.Context, ids []parallax.ID) (map[parallax.ID]bool, error) {
	return s.store.Stored(ctx, ids)
}

// offers is where the mirrors of this process put exchanges.
func (s *server) offers() mirror.Queue {
	if s.stream != nil {
		return s.stream
	}
	return s.queue
}

// source is where the workers of this process take exchanges from.
func (s *server) source() divergence.Source {
	if s.stream != nil {
		return fetching{s.stream, s.recorder}
	}
	return s.queue
}

// acker is who is told what is stored, nil for nobody.
func (s *server) acker() divergence.Acker {
	if s.stream != nil {
		return s.stream
	}
	return nil
}

// fetching takes exchanges from Redis only while there is room for what comes of them: they are
// safe there.
type fetching struct {
	*redisqueue.Queue
	recorder *divergence.Recorder
}

// roomAgain is how often room is looked for.
const roomAgain = 50 * time.Millisecond

// Receive implements divergence.Source.
func (f fetching) Receive(ctx context.Context, max int) ([]*parallax.Exchange, error) {
	for again := time.NewTicker(roomAgain); ; {
		if f.recorder.Room() {
			again.Stop()
			return f.Queue.Receive(ctx, max)
		}
		select {
		case <-ctx.Done():
			again.Stop()
			return nil, ctx.Err()
		case <-again.C:
		}
	}
}

// work compares until the queue is drained, where it is in this process, or else until ctx
// ends; in a process that does not compare it only waits.
func (s *server) work(ctx context.Context) error {
	if !s.cfg.roles.plays(partCompare) {
		<-ctx.Done()
		return nil
	}
	if s.stream == nil {
		ctx = context.Background()
	}
	return s.worker.Run(ctx)
}

// stopWorking ends comparing. What is in Redis is left to other workers, and to the next start.
func (s *server) stopWorking(working *stage) error {
	if s.stream == nil && s.cfg.roles.plays(partCompare) {
		s.queue.Close()
		return working.wait()
	}
	return working.stop()
}

// send takes exchanges to Redis, if the queue is there.
func (s *server) send(ctx context.Context) error {
	if s.stream == nil {
		return nil
	}
	return s.stream.Send(ctx)
}

// hold keeps what workers here took from Redis theirs, if the queue is there.
func (s *server) hold(ctx context.Context) error {
	if s.stream == nil {
		return nil
	}
	return s.stream.Keep(ctx)
}

// stopSending sends what is left; the mirrors have stopped.
func (s *server) stopSending(sending *stage) error {
	if s.stream != nil {
		s.stream.Close()
	}
	return sending.stop()
}

// queueStatus says how the Redis that the queue is in is doing.
func (s *server) queueStatus() ui.Dependency {
	d := ui.Dependency{Name: "queue", OK: true, Detail: "in redis"}
	if err := s.stream.Err(); err != nil {
		d.OK, d.Detail = false, err.Error()
	}
	return d
}
