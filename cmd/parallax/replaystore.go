package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
	"parallax/divergence/embedded"
	"parallax/mirror"
	"parallax/mirror/replay"
)

const (
	maxStored    = 1_000_000        // exchanges that one replay reads of a store
	lockPatience = 10 * time.Second // for the store's folder
)

// stored is what a store has kept of a service, the oldest first.
type stored struct {
	ctx     context.Context
	service string
	engine  *embedded.Engine // nil with an outside ClickHouse
	store   *divergence.Store
	list    []storedID
	next    int
}

type storedID struct {
	id   parallax.ID
	kept bool
}

// openStored opens the configured store. The embedded engine is opened by one
// process at a time, so that serve must not run meanwhile.
func openStored(ctx context.Context, cfg StoreConfig, service string, w divergence.Window) (_ replay.Source, err error) {
	s := &stored{ctx: ctx, service: service}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	opts, err := cfg.options()
	if cfg.ClickHouse == "" {
		if s.engine, err = embedded.Start(context.Background(), embedded.Config{Dir: cfg.Dir, Log: slog.New(slog.DiscardHandler)}); err != nil {
			return nil, err
		}
		ready, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		if err := s.engine.Ready(ready); err != nil {
			if s.engine.State().Phase == embedded.WaitingLock {
				return nil, fmt.Errorf("cannot read the store in %s: another Parallax uses it; end that one for as long as the replay takes, or replay from a file", cfg.Dir)
			}
			return nil, fmt.Errorf("cannot read the store in %s: %w", cfg.Dir, err)
		}
		opts = s.engine.Options()
	}
	if err != nil {
		return nil, err
	}
	if s.store, err = divergence.Open(opts); err != nil {
		return nil, err
	}
	return s, s.find(w)
}

// find lists the exchanges of a window.
func (s *stored) find(w divergence.Window) error {
	const page = 1000
	f := divergence.ExchangeFilter{Window: w, Limit: page}
	for {
		list, err := s.store.Exchanges(s.ctx, s.service, f)
		if err != nil {
			return err
		}
		for _, x := range list {
			id, err := parallax.ParseID(x.ID)
			if err != nil {
				return err
			}
			s.list = append(s.list, storedID{id, x.Kept})
		}
		switch {
		case len(s.list) > maxStored:
			return fmt.Errorf("the store has more than %d exchanges; say which with --since and --until", maxStored)
		case len(list) < page:
			slices.Reverse(s.list)
			return nil
		}
		f.Before = list[len(list)-1].ID
	}
}

// Next implements [replay.Source].
func (s *stored) Next() (replay.Request, error) {
	if s.next == len(s.list) {
		return replay.Request{}, io.EOF
	}
	x := s.list[s.next]
	s.next++
	where := "exchange " + x.id.String()
	if !x.kept {
		return replay.Request{}, &replay.Skip{Reason: replay.NotKept, Where: where, Err: errors.New("the store kept no bodies of it")}
	}
	d, err := s.store.Exchange(s.ctx, s.service, x.id)
	if err != nil {
		return replay.Request{}, err
	}
	return recorded(where, d)
}

// recorded is the request of a stored exchange, as the primary got it.
func recorded(where string, d divergence.ExchangeDetail) (replay.Request, error) {
	if d.Exchange == nil || d.Exchange.Legs[parallax.Primary] == nil {
		return replay.Request{}, &replay.Skip{Reason: replay.NotKept, Where: where, Err: errors.New("the store kept no bodies of it")}
	}
	q := d.Exchange.Legs[parallax.Primary].Request
	switch {
	case q.Body.Cut || q.Body.Size > int64(len(q.Body.Bytes)):
		return replay.Request{}, &replay.Skip{Reason: replay.CutBody, Where: where, Err: errors.New("the store has the beginning of its body only")}
	case compare.StoredAsTree(q.Headers), compare.IsRedacted(q.Body.Bytes), compare.IsRedacted([]byte(q.Target)):
		return replay.Request{}, &replay.Skip{Reason: replay.Redacted, Where: where, Err: errors.New("its body or target was redacted before it was stored")}
	}
	r := replay.Request{Time: d.Received, Where: where, Recorded: mirror.Recorded{Method: q.Method, Target: q.Target, Host: q.Host, Body: q.Body.Bytes}}
	if d.Exchange.User != [16]byte{} {
		r.User = fmt.Sprintf("%x", d.Exchange.User)
	}
	for _, f := range q.Headers {
		if !compare.IsRedacted([]byte(f.Value)) && !ofParallax(f.Name) {
			r.Headers = append(r.Headers, f)
		}
	}
	if err := r.Fault(); err != nil {
		return replay.Request{}, &replay.Skip{Reason: replay.Malformed, Where: where, Err: err}
	}
	return r, nil
}

// ofParallax reports whether Parallax wrote a header when the request was first
// mirrored, and will write it again.
func ofParallax(name string) bool {
	switch strings.ToLower(name) {
	case "baggage", "traceparent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "te":
		return true
	}
	return strings.HasPrefix(strings.ToLower(name), "x-parallax-")
}

// Progress implements [replay.Source]. It counts exchanges.
func (s *stored) Progress() (done, total int64) { return int64(s.next), int64(len(s.list)) }

// Close implements [replay.Source].
func (s *stored) Close() error {
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	return err
}
