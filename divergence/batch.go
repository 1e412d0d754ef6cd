package divergence

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax"
)

// The steps of writing a batch, in their order. A step may be several inserts,
// each with a token of its own. What is counted of differences goes with their
// rows, the running totals with the ticks.
const (
	writeCounts = iota
	writeDivergences
	writeBodies
	writeComparisons
	writeTicks
	steps
)

// batch is what is written together. Once sealed it does not change, but for
// step, the first step that the store has not acknowledged, and totals, which are
// set before the last one.
type batch struct {
	instance string
	seq      uint64
	written  time.Time
	counts   []Count
	records  []*record
	endings  []ending // of the records
	ticks    []Tick
	totals   []totalRow
	notes    effectNotes
	live     []Live
	step     int
}

// seal makes a batch of the counts and the oldest exchanges that wait, or nil if
// there is neither. The caller holds the whole turn.
func (r *Recorder) seal() *batch {
	records := r.takeRecords()
	endings := endingsOf(records)
	counts := r.cfg.Ledger.take(maxCounts, endings)
	notes, live := r.notes.take(), r.cfg.Live()
	if len(counts) == 0 && len(records) == 0 && notes.empty() && len(live) == 0 {
		return nil
	}
	r.seq++
	// A clock that is set back must not put a tick before one that was read.
	if now := r.cfg.Now().UTC().Truncate(time.Millisecond); now.After(r.written) {
		r.written = now
	}
	b := &batch{instance: r.cfg.Instance, seq: r.seq, written: r.written, counts: counts, records: records, endings: endings, notes: notes, live: live}
	b.ticks = r.ticks(b)
	return b
}

// takeRecords removes up to one batch from the front of the buffer.
func (r *Recorder) takeRecords() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, bytes := r.buffer.take(r.limits.BatchRows, r.limits.BatchBytes)
	r.bytes -= bytes
	r.metrics.buffered.Set(float64(r.bytes))
	return records
}

// ticks adds up the evidence in a batch. What came in, what was lost and what callers got goes
// with what was compared of the same endpoint, and where nothing was, under the
// versions seen last.
func (r *Recorder) ticks(b *batch) []Tick {
	var t tally
	for _, rec := range b.records {
		t.add(*rec)
	}
	for _, e := range b.endings { // an endpoint's last stands last
		r.versions[entryKey{e.filing.service, e.filing.endpoint}] = e.filing.key()
	}
	if len(r.versions) > maxEntries {
		r.versions = map[entryKey]tickKey{} // they are seen again with the next exchange
	}
	for _, c := range b.counts {
		lost := parallax.Place(c.Reason).Group() == "lost"
		if c.Reason != string(Received) && !lost {
			continue
		}
		tick := t.tick(r.keyFor(&t, c.Service, c.Endpoint))
		if lost {
			tick.Lost += uint64(c.N)
		} else {
			tick.Received += uint64(c.N)
		}
	}
	for _, l := range b.live {
		tick := t.tick(r.keyFor(&t, l.Service, l.Endpoint))
		tick.LivePrimary, tick.LiveCandidate = tick.LivePrimary.Plus(l.Primary), tick.LiveCandidate.Plus(l.Candidate)
		tick.LiveWrites = append(tick.LiveWrites, l.Writes...)
	}
	ticks := make([]Tick, len(t.order))
	for i, key := range t.order {
		r.tickSeq++
		ticks[i] = *t.ticks[key]
		ticks[i].At, ticks[i].Instance, ticks[i].Seq = b.written, b.instance, r.tickSeq
	}
	return ticks
}

// keyFor is what received and lost exchanges of an endpoint are filed under.
func (r *Recorder) keyFor(t *tally, service, endpoint string) tickKey {
	key, seen := r.versions[entryKey{service, endpoint}]
	if _, compared := t.ticks[key]; seen && compared {
		return key
	}
	key.service, key.endpoint = service, endpoint
	key.rules, key.policy = r.cfg.Hashes(service, endpoint)
	return key
}

// addCounts adds the counts of a service that lie in a window.
func (b Balance) addCounts(service string, w Window, counts []Count) {
	w = w.minutes()
	for _, c := range counts {
		if c.Service == service && w.holds(c.Minute) {
			b.add(c.Endpoint, parallax.Place(c.Reason), c.N)
		}
	}
}

// write takes one step of writing a batch.
func (s *Store) write(ctx context.Context, b *batch, step int) error {
	switch step {
	case writeCounts:
		if err := s.insertAll(ctx, "counts", b, len(b.counts), func(to driver.Batch, i int) error {
			c := &b.counts[i]
			return to.Append(b.instance, b.seq, c.Minute, c.Service, c.Endpoint, c.Reason, c.N)
		}); err != nil {
			return err
		}
		return s.writeNotes(ctx, b)
	case writeDivergences:
		rows, repeats := differenceRows(b.records), repeatRows(b.records)
		if err := s.insertAll(ctx, "divergences", b, len(rows), func(to driver.Batch, i int) error {
			return rows[i].record.appendDifference(to, rows[i].n, b.instance, b.written)
		}); err != nil {
			return err
		}
		if err := s.insertAll(ctx, "repeats", b, len(repeats), func(to driver.Batch, i int) error { return repeats[i].append(to) }); err != nil {
			return err
		}
		uses := useRows(b.records)
		return s.insertAll(ctx, "rule_uses", b, len(uses), func(to driver.Batch, i int) error { return uses[i].append(to) })
	case writeBodies:
		rows := bodyRows(b.records)
		if err := s.insertAll(ctx, "bodies", b, len(rows), func(to driver.Batch, i int) error {
			return rows[i].record.appendCall(to, parallax.Leg(rows[i].n), b.written)
		}); err != nil {
			return err
		}
		return s.writeEffects(ctx, b)
	case writeComparisons:
		if len(b.records) == 0 {
			return nil
		}
		return s.insertColumns(ctx, "comparisons", insertToken(b.instance, b.seq, "comparisons"), comparisonColumns(b))
	}
	if err := s.insertAll(ctx, "totals", b, len(b.totals), func(to driver.Batch, i int) error {
		t := &b.totals[i]
		return to.Append(b.instance, t.service, string(t.place), uint64(max(t.n, 0)))
	}); err != nil {
		return err
	}
	return s.insertAll(ctx, "ticks", b, len(b.ticks), func(to driver.Batch, i int) error {
		t := &b.ticks[i]
		return to.Append(t.At, t.Instance, t.Seq, t.Service, t.Endpoint, t.RulesHash, t.PolicyHash, t.PrimaryVersion, t.CandidateVersion,
			t.Received, t.Lost, t.N, t.K, t.NotComparable, t.Noise, t.Accepted, t.B, t.C, t.Timed, t.SlowB, t.SlowC, t.Unanswered, t.Transient, t.Unmapped, t.Unknown, t.ByKey, t.Inherited, t.Zero, t.Repeated, t.LivePrimary.list(), t.LiveCandidate.list(), t.RepeatedK, t.RepeatedB, writesText(t.LiveWrites))
	})
}

// insertAll inserts the rows of a batch into one table, if there are any.
func (s *Store) insertAll(ctx context.Context, table string, b *batch, n int, row func(to driver.Batch, i int) error) error {
	if n == 0 {
		return nil
	}
	return s.insert(ctx, table, insertToken(b.instance, b.seq, table), n, row)
}

// part is one row that belongs to an exchange: its nth difference or leg.
type part struct {
	record *record
	n      int
}

func differenceRows(records []*record) []part {
	var out []part
	for _, r := range records {
		for i := range r.finds().differences {
			out = append(out, part{r, i})
		}
	}
	return out
}

func bodyRows(records []*record) []part {
	var out []part
	for _, r := range records {
		x := r.finds().exchange
		if x == nil {
			continue
		}
		for leg, call := range x.Legs {
			if call != nil {
				out = append(out, part{r, leg})
			}
		}
	}
	return out
}
