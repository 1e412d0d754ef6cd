package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
	"parallax/divergence"
	"parallax/mirror"
	"parallax/reports"
	"parallax/ui"
)

// quietWithin is how long what was sent to the candidate before a copy began may take, and
// may be compared.
const quietWithin = time.Minute

// copying makes the candidate's database of one service anew, from a copy of the primary's:
// mirror, snapshot and the log of the primary's database have to know of the same moment.
// What is under way survives a restart, but for the snapshot.
type copying struct {
	svc    *service
	file   *reports.StateFile
	ledger *divergence.Ledger
	now    func() time.Time
	record func(context.Context, divergence.Decision)

	turn sync.Mutex // one change at a time

	mu       sync.Mutex
	snapshot *postgres.Snapshot // nil: there is none in this process
}

var _ ui.Copying = (*copying)(nil)

// newCopying puts the copy on disk in force. The snapshot is that of before, nil for none.
func newCopying(svc *service, file *reports.StateFile, ledger *divergence.Ledger, before *copying) *copying {
	c := &copying{svc: svc, file: file, ledger: ledger, now: svc.steps.now, record: svc.steps.record}
	on := file.State().Copy
	switch {
	case on != nil:
		c.enforce(*on, nil)
	default:
		svc.mirror.DropCopy(parallax.Candidate, nil)
	}
	if before != nil {
		before.mu.Lock()
		defer before.mu.Unlock()
		c.snapshot, before.snapshot = before.snapshot, nil
	}
	return c
}

// enforce puts a copy in force. Without holds it is known of exchanges what was known before.
func (c *copying) enforce(on reports.LegCopy, holds func(*parallax.Exchange) mirror.InCopy) {
	if now := c.svc.mirror.Copied(parallax.Candidate); holds == nil && now != nil && now.Began.Equal(on.Began) {
		holds = now.Holds
	}
	c.svc.mirror.SetCopy(mirrored(&on, c.svc.settle(), holds))
}

// settle is how long after its answer a leg may commit.
func (svc *service) settle() time.Duration { return svc.terms.Load().cfg.Effects.Settle }

func mirrored(c *reports.LegCopy, settle time.Duration, holds func(*parallax.Exchange) mirror.InCopy) mirror.Copy {
	return mirror.Copy{Leg: parallax.Candidate, Began: c.Began, Ended: c.Ended, From: c.From, Until: c.Until, Settle: settle, Holds: holds}
}

// Copy implements [ui.Copying].
func (c *copying) Copy() *ui.Copy {
	on := c.file.State().Copy
	if on == nil {
		return nil
	}
	out := &ui.Copy{Leg: parallax.Candidate.String(), State: "copied", Who: on.Who, Reason: on.Reason, Began: on.Began, Ended: on.Ended, Position: on.Position}
	if on.Ended.IsZero() {
		out.State = "beginning"
		if on.Position != "" {
			out.State = "copying"
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.snapshot != nil && c.now().Sub(on.Until) < postgres.SnapshotFor {
			out.Snapshot = c.snapshot.Name
		}
	}
	return out
}

// why says that a copy is being made, for the verdict; "" while none is.
func (c *copying) why() string {
	if on := c.file.State().Copy; on != nil && on.Ended.IsZero() {
		return "the database of the candidate is being made anew, from a copy of the primary's"
	}
	return ""
}

// database returns the primary's database that a copy can be made of.
func (c *copying) database() (effects.Database, error) {
	cfg := c.svc.terms.Load().cfg
	list := cfg.Effects.Databases(parallax.Primary)
	switch {
	case cfg.Candidate.State != mirror.Own:
		return effects.Database{}, fmt.Errorf("the candidate has no database of its own: its state is %s", cfg.Candidate.State)
	case c.svc.mirror.SharesIdentifiers():
		return effects.Database{}, errors.New("several mirrors share identifiers in Redis, and would not forget those of the database that is replaced: start one mirror without identifiers.redis for the copy, and afterwards all of them with another identifiers.prefix")
	case len(list) == 0:
		return effects.Database{}, errors.New("no database of the primary is read: name it in effects.primary")
	case len(list) > 1:
		return effects.Database{}, errors.New("the primary has several databases, and a copy is of one moment of one of them")
	case list[0].Postgres == "":
		return effects.Database{}, errors.New("only a PostgreSQL database that Parallax reads by itself can be copied")
	}
	return list[0], nil
}

// BeginCopy implements [ui.Copying].
func (c *copying) BeginCopy(ctx context.Context, who, reason string) (err error) {
	if !c.turn.TryLock() {
		return errors.New("a copy is being begun or ended at the moment")
	}
	defer c.turn.Unlock()
	before := c.file.State().Copy
	if before != nil && before.Ended.IsZero() {
		return fmt.Errorf("a copy was begun at %s by %s: end or cancel it first", before.Began.Format(time.RFC3339), before.Who)
	}
	database, err := c.database()
	if err != nil {
		return err
	}
	g := c.svc.effects.now.Load()
	if g == nil {
		return errors.New("no database of the primary is read")
	}
	mark, err := g.joiner.MarkCopy(database.Name())
	if err != nil {
		return err
	}
	on := reports.LegCopy{Who: who, Reason: reason, Began: c.now().UTC()}
	if before != nil {
		last := *before
		last.Before = nil
		on.Before = &last
	}
	if err := c.put(on, nil); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.giveUp())
		}
	}()
	if step := c.file.State().Step; step > 0 { // No step above 0 is set while the copy is on disk.
		return fmt.Errorf("the candidate serves callers, at step %d: set step 0 first", step)
	}
	settle := c.svc.settle()
	if err := c.untilQuiet(ctx, settle); err != nil {
		return err
	}
	c.enforce(on, nil) // what is tainted from here on is not forgiven when the copy ends
	on.From = c.now().UTC()
	snapshot, err := postgres.Export(ctx, sourceOf(database))
	if err != nil {
		return err
	}
	c.keep(snapshot)
	on.Until, on.Position = c.now().UTC(), snapshot.LSN()
	mark.Set(snapshot.Position, on.Until)
	if err := c.put(on, holds(mark, settle)); err != nil {
		return err
	}
	if ctx.Err() != nil { // Nobody would end it.
		return gone(ctx)
	}
	c.record(ctx, divergence.Decision{At: on.Began, Kind: "copy", Key: "begun", Value: on.Position, Who: who, Note: reason})
	return nil
}

// untilQuiet waits until the candidate has done all that it was asked, the primary what it may
// do after the answers to the same requests, and until all that is compared: from then on
// nobody learns anything of the data that the candidate had.
func (c *copying) untilQuiet(ctx context.Context, settle time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, quietWithin)
	defer cancel()
	if err := c.svc.mirror.Quiet(ctx, parallax.Candidate); err != nil {
		return err
	}
	wait := time.NewTimer(settle)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
			if c.uncompared() == 0 {
				return nil
			}
			wait.Reset(lookForQuiet)
		case <-ctx.Done():
			return fmt.Errorf("not all exchanges of before are compared yet: %w", ctx.Err())
		}
	}
}

// lookForQuiet is how often it is looked whether all is compared.
const lookForQuiet = 20 * time.Millisecond

// uncompared is how many exchanges are still to be compared.
func (c *copying) uncompared() (n int64) {
	places := c.ledger.Totals(c.svc.name).At
	for _, p := range []parallax.Place{parallax.InQueue, parallax.InWorker, parallax.InEffects, parallax.InAgain} {
		_, name, _ := strings.Cut(string(p), "/")
		n += places[name]
	}
	return n
}

func gone(ctx context.Context) error {
	return fmt.Errorf("whoever asked for the copy has gone: %w", ctx.Err())
}

// holds tells what a copy has of exchanges, by where their commits lie.
func holds(mark *effects.CopyMark, settle time.Duration) func(*parallax.Exchange) mirror.InCopy {
	return func(x *parallax.Exchange) mirror.InCopy {
		call := x.Legs[parallax.Primary]
		if call == nil {
			return mirror.InCopyUnknown
		}
		before, after, err := mark.Of(x, x.Received.Add(call.Done).Add(settle))
		switch {
		case errors.Is(err, effects.ErrNotReadYet):
			return mirror.InCopyLater
		case err == nil && !before && !after && call.Response.Status >= 400:
			return mirror.InCopyWhole // It was rejected, and changed nothing.
		case err != nil, before == after: // It committed on both sides, or nothing that is read.
			return mirror.InCopyUnknown
		case before:
			return mirror.InCopyWhole
		}
		return mirror.InCopyNothing
	}
}

// put writes a copy down and puts it in force.
func (c *copying) put(on reports.LegCopy, holds func(*parallax.Exchange) mirror.InCopy) error {
	if err := c.file.Update(func(s *reports.State) { s.Copy = &on }); err != nil {
		return err
	}
	c.enforce(on, holds)
	return nil
}

// keep keeps a snapshot in the place of the last one, which is let go of.
func (c *copying) keep(s *postgres.Snapshot) {
	c.mu.Lock()
	last := c.snapshot
	c.snapshot = s
	c.mu.Unlock()
	if last != nil {
		last.Close()
	}
}

// close lets go of the snapshot when the process ends.
func (c *copying) close() { c.keep(nil) }

// EndCopy implements [ui.Copying].
func (c *copying) EndCopy(ctx context.Context, who, reason string) error {
	return c.end(ctx, who, reason, "ended", func(on reports.LegCopy) error {
		if on.Position == "" {
			return errors.New("no snapshot was taken yet: cancel the copy, and begin another one")
		}
		if !c.svc.mirror.ForgetIdentifiers(on.From) { // It was begun with another configuration.
			return errors.New("several mirrors share identifiers in Redis, and would not forget those of the database that is gone: start without identifiers.redis, and end it then")
		}
		c.svc.drift.Forget()
		// What was given up as soon as it was answered may have been committed that much later.
		if err := c.svc.mirror.Untaint(parallax.Candidate, on.From.Add(-c.svc.settle())); err != nil {
			return err
		}
		on.Ended, on.Before = c.now().UTC(), nil
		return c.put(on, nil)
	})
}

// CancelCopy implements [ui.Copying].
func (c *copying) CancelCopy(ctx context.Context, who, reason string) error {
	return c.end(ctx, who, reason, "cancelled", func(reports.LegCopy) error { return c.giveUp() })
}

func (c *copying) end(ctx context.Context, who, reason, how string, do func(reports.LegCopy) error) error {
	if !c.turn.TryLock() {
		return errors.New("a copy is being begun or ended at the moment")
	}
	defer c.turn.Unlock()
	on := c.file.State().Copy
	if on == nil || !on.Ended.IsZero() {
		return errors.New("no copy is being made")
	}
	if err := do(*on); err != nil {
		return err
	}
	c.keep(nil)
	c.record(ctx, divergence.Decision{At: c.now().UTC(), Kind: "copy", Key: how, Value: on.Position, Who: who, Note: reason})
	return nil
}

// giveUp makes it as if the copy that is being made had not been begun.
func (c *copying) giveUp() error {
	c.keep(nil)
	var before *reports.LegCopy
	err := c.file.Update(func(s *reports.State) {
		before = s.Copy.Before
		s.Copy = before
	})
	if err != nil {
		return err
	}
	if before == nil {
		c.svc.mirror.DropCopy(parallax.Candidate, nil)
		return nil
	}
	last := mirrored(before, c.svc.settle(), nil)
	c.svc.mirror.DropCopy(parallax.Candidate, &last)
	return nil
}
