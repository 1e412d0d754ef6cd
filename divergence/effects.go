package divergence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
)

// LateEffects is what a leg of an exchange committed too late to be compared, redacted.
type LateEffects struct {
	ID      parallax.ID
	Stamp   parallax.Stamp
	Leg     parallax.Leg
	Effects []parallax.Effect
}

// EffectCount is what became of changes that a leg's databases committed in a minute: found
// by tag, trace, column or key; late, uncompared, torn, stray or unattributed.
type EffectCount struct {
	Minute  time.Time `json:"-"`
	Service string    `json:"-"`
	Leg     string    `json:"leg"`
	Table   string    `json:"table"` // "*" for those that are not configured
	Count   string    `json:"count"`
	N       uint64    `json:"n"`
}

// EffectGap is a time in which a leg's database was not read. Until is zero while it
// lasts.
type EffectGap struct {
	Service  string    `json:"-"`
	Leg      string    `json:"leg"`
	Database string    `json:"database"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until,omitzero"`
	Why      string    `json:"why"`
}

// Bounds of what is stored of effects.
const (
	maxLeg       = 1_000   // effects of a leg of a kept exchange; of one with more none are
	maxLegBytes  = 1 << 20 // and their images
	maxLateHour  = 10_000  // late effects an hour; more are counted only
	maxNoteCount = 20_000  // rows of counts, and of gaps, that wait for the store
)

// notes are what is stored of effects besides exchanges, until the next batch.
type notes struct {
	mu   sync.Mutex
	next effectNotes
	hour int64
	late int // in that hour

	writtenHour int64
	written     int // in that hour
}

// effectNotes are notes of one batch.
type effectNotes struct {
	late    []LateEffects
	counts  []EffectCount
	gaps    []EffectGap
	written []WrittenEffects
	drift   []driftMark

	writtenBytes int64 // about, in written
}

func (n *effectNotes) empty() bool {
	return len(n.late)+len(n.counts)+len(n.gaps)+len(n.written)+len(n.drift) == 0
}

// take takes what waits.
func (n *notes) take() effectNotes {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.next
	n.next = effectNotes{}
	return out
}

// NoteLate stores effects that came too late, redacted, with the next batch: 10 000 an
// hour at most.
func (r *Recorder) NoteLate(late LateEffects) {
	n := &r.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	if hour := late.Stamp.Received.Unix() / 3600; hour != n.hour {
		n.hour, n.late = hour, 0
	}
	if n.late += len(late.Effects); n.late <= maxLateHour {
		n.next.late = append(n.next.late, late)
	}
}

// NoteEffects stores what became of changes, and gaps, with the next batch. While the store
// is away 20 000 rows of each wait; what is more is not stored.
func (r *Recorder) NoteEffects(counts []EffectCount, gaps []EffectGap) {
	n := &r.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.next.counts)+len(counts) <= maxNoteCount {
		n.next.counts = append(n.next.counts, counts...)
	}
	if len(n.next.gaps)+len(gaps) <= maxNoteCount {
		n.next.gaps = append(n.next.gaps, gaps...)
	}
}

// writeNotes writes the counts and gaps of a batch, and what the candidate wrote as the live
// leg.
func (s *Store) writeNotes(ctx context.Context, b *batch) error {
	if err := s.insertAll(ctx, "effect_counts", b, len(b.notes.counts), func(to driver.Batch, i int) error {
		c := &b.notes.counts[i]
		return to.Append(c.Minute, c.Service, c.Leg, c.Table, c.Count, c.N)
	}); err != nil {
		return err
	}
	if err := s.writeWritten(ctx, b); err != nil {
		return err
	}
	if err := s.writeDrift(ctx, b); err != nil {
		return err
	}
	return s.insertAll(ctx, "effect_gaps", b, len(b.notes.gaps), func(to driver.Batch, i int) error {
		g := &b.notes.gaps[i]
		until := g.Until
		if until.IsZero() {
			until = time.Unix(0, 0)
		}
		return to.Append(g.Service, g.Leg, g.Database, g.From.UTC(), until.UTC(), g.Why, b.written)
	})
}

// effectRow is a row of the table effects.
type effectRow struct {
	id    parallax.ID
	stamp parallax.Stamp
	leg   parallax.Leg
	n     int
	*parallax.Effect
}

// writeEffects writes the effects of the exchanges that are kept, and the late ones.
func (s *Store) writeEffects(ctx context.Context, b *batch) error {
	var rows []effectRow
	add := func(id parallax.ID, stamp parallax.Stamp, leg parallax.Leg, list []parallax.Effect) {
		for i := range list {
			rows = append(rows, effectRow{id, stamp, leg, i, &list[i]})
		}
	}
	for _, r := range b.records {
		x := r.finds().exchange
		if x == nil {
			continue
		}
		for leg, call := range x.Legs {
			if call != nil {
				add(r.id, r.stamp(), parallax.Leg(leg), call.Effects)
			}
		}
	}
	for _, l := range b.notes.late {
		add(l.ID, l.Stamp, l.Leg, l.Effects)
	}
	return s.insertAll(ctx, "effects", b, len(rows), func(to driver.Batch, i int) error {
		e := &rows[i]
		return to.Append(uuid.UUID(e.id), uint8(e.leg), e.Late, uint32(e.n), e.stamp.Received.UTC().Truncate(time.Millisecond), e.stamp.Service, e.stamp.Endpoint,
			e.Table, string(e.Op), image(e.Key), image(e.Before), image(e.After), string(e.Correlation), e.At.UTC(), e.Position, b.written)
	})
}

// storable returns an exchange with those effects that are stored: all of a leg, or none
// and why.
func storable(x *parallax.Exchange) *parallax.Exchange {
	out := x
	for leg, c := range x.Legs {
		if c == nil || len(c.Effects) <= maxLeg && effectBytes(c.Effects) <= maxLegBytes {
			continue
		}
		if out == x {
			copied := *x
			out = &copied
		}
		call := *c
		call.Effects, call.Unread = nil, fmt.Sprintf("its %d effects are too many to be kept", len(c.Effects))
		out.Legs[leg] = &call
	}
	return out
}

// effectBytes is about how much memory and disk effects take.
func effectBytes(effects []parallax.Effect) (n int64) {
	for i := range effects {
		n += 200
		for _, list := range [][]parallax.Column{effects[i].Key, effects[i].Before, effects[i].After} {
			for k := range list {
				n += int64(64 + len(list[k].Name))
				if list[k].Value != nil {
					n += int64(len(*list[k].Value))
				}
			}
		}
	}
	return n
}

// columnText is a column of an image as it is stored.
type columnText struct {
	Name  string              `json:"name"`
	Type  parallax.ColumnType `json:"type,omitempty"`
	Value *string             `json:"value"`
	Made  bool                `json:"made,omitempty"`
	Ref   string              `json:"ref,omitempty"`
}

// image writes columns as they are stored, "" for none.
func image(columns []parallax.Column) string {
	if len(columns) == 0 {
		return ""
	}
	out := make([]columnText, len(columns))
	for i, c := range columns {
		out[i] = columnText(c)
	}
	text, _ := json.Marshal(out) // plain values always encode
	return string(text)
}

func readImage(text string) ([]parallax.Column, error) {
	if text == "" {
		return nil, nil
	}
	var list []columnText
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("cannot read an image of a row: %w", err)
	}
	out := make([]parallax.Column, len(list))
	for i, c := range list {
		out[i] = parallax.Column(c)
	}
	return out, nil
}

const effectColumns = `id, leg, table, op, key, before, after, correlation, at, position, late`

// eachEffect reads effects in the order of each leg's commits, late ones last.
func (s *Store) eachEffect(ctx context.Context, cond *where, f func(parallax.ID, parallax.Leg, parallax.Effect)) error {
	return s.each(ctx, `SELECT `+effectColumns+` FROM effects FINAL `+cond.String()+` ORDER BY id, leg, late, position, n`, cond.args, func(rows driver.Rows) error {
		var (
			id              uuid.UUID
			leg             uint8
			e               parallax.Effect
			op, correlation string
			images          [3]string
		)
		err := rows.Scan(&id, &leg, &e.Table, &op, &images[0], &images[1], &images[2], &correlation, &e.At, &e.Position, &e.Late)
		if err != nil || int(leg) >= parallax.Legs {
			return err
		}
		e.Op, e.Correlation = parallax.Op(op), parallax.Correlation(correlation)
		for i, into := range []*[]parallax.Column{&e.Key, &e.Before, &e.After} {
			if *into, err = readImage(images[i]); err != nil {
				return err
			}
		}
		f(parallax.ID(id), parallax.Leg(leg), e)
		return nil
	})
}

// loadEffects puts stored effects, without late ones, back into exchanges.
func (s *Store) loadEffects(ctx context.Context, cond *where, of func(parallax.ID) *parallax.Exchange) error {
	return s.eachEffect(ctx, cond, func(id parallax.ID, leg parallax.Leg, e parallax.Effect) {
		if x := of(id); x != nil && x.Legs[leg] != nil && !e.Late {
			x.Legs[leg].Effects = append(x.Legs[leg].Effects, e)
		}
	})
}

// EffectLine is one stored effect, redacted.
type EffectLine struct {
	Leg         string       `json:"leg"`
	Table       string       `json:"table"`
	Op          string       `json:"op"`
	Key         []ColumnLine `json:"key,omitempty"`
	Before      []ColumnLine `json:"before,omitempty"`
	After       []ColumnLine `json:"after,omitempty"`
	Correlation string       `json:"correlation"`
	At          time.Time    `json:"at"`
	Position    uint64       `json:"position,omitempty"`
	Late        bool         `json:"late,omitempty"` // stored, and not compared
}

// ColumnLine is one column of a row. A value that is null is NULL; a column that is not
// listed is not known.
type ColumnLine struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

func columnLines(columns []parallax.Column) (out []ColumnLine) {
	for _, c := range columns {
		if c.Type != parallax.Unchanged {
			out = append(out, ColumnLine{c.Name, c.Value})
		}
	}
	return out
}

// effects reads what the legs of an exchange did.
func (s *Store) effects(ctx context.Context, cond *where, d *ExchangeDetail) error {
	if d.Exchange != nil {
		for leg, call := range d.Exchange.Legs {
			if call != nil && call.Unread != "" {
				if d.Unread == nil {
					d.Unread = map[string]string{}
				}
				d.Unread[parallax.Leg(leg).String()] = call.Unread
			}
		}
	}
	return s.eachEffect(ctx, cond, func(_ parallax.ID, leg parallax.Leg, e parallax.Effect) {
		if d.Exchange != nil && d.Exchange.Legs[leg] != nil {
			d.Exchange.Legs[leg].Effects = append(d.Exchange.Legs[leg].Effects, e)
		}
		d.Effects = append(d.Effects, EffectLine{
			Leg: leg.String(), Table: e.Table, Op: string(e.Op), Key: columnLines(e.Key), Before: columnLines(e.Before), After: columnLines(e.After),
			Correlation: string(e.Correlation), At: e.At, Position: e.Position, Late: e.Late,
		})
	})
}

// EffectsSummary is what became of all that the databases of a service committed in a
// window.
type EffectsSummary struct {
	Counts []EffectCount `json:"counts"`         // by leg, table and what became of it
	Gaps   []EffectGap   `json:"gaps"`           // the latest first, up to 100
	Differ int           `json:"differing_rows"` // rows that differ now, as far as is known; what differs in them later is inherited
}

// Effects returns what became of what the databases of a service committed.
func (s *Store) Effects(ctx context.Context, service string, w Window) (EffectsSummary, error) {
	out := EffectsSummary{Counts: []EffectCount{}, Gaps: []EffectGap{}}
	cond := forService(service).within("minute", w.minutes())
	err := s.each(ctx, `SELECT leg, table, count, sum(n) FROM effect_counts `+cond.String()+` GROUP BY leg, table, count ORDER BY leg, table, count`, cond.args, func(rows driver.Rows) error {
		var c EffectCount
		err := rows.Scan(&c.Leg, &c.Table, &c.Count, &c.N)
		out.Counts = append(out.Counts, c)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("cannot read the counts of effects: %w", err)
	}
	cond = forService(service)
	err = s.each(ctx, `SELECT leg, database, from, until, why FROM effect_gaps FINAL `+cond.String()+` ORDER BY from DESC LIMIT 1000`, cond.args, func(rows driver.Rows) error {
		var g EffectGap
		err := rows.Scan(&g.Leg, &g.Database, &g.From, &g.Until, &g.Why)
		if g.Until.Unix() == 0 {
			g.Until = time.Time{}
		}
		out.Gaps = append(out.Gaps, g)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("cannot read the gaps of effects: %w", err)
	}
	out.Gaps = slices.DeleteFunc(out.Gaps, func(g EffectGap) bool {
		return !w.To.IsZero() && !g.From.Before(w.To) || !g.Until.IsZero() && g.Until.Before(w.From)
	})
	out.Gaps = out.Gaps[:min(len(out.Gaps), 100)]
	return out, nil
}
