package divergence

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
)

// WrittenEffects are changes that the candidate committed as the live leg, redacted.
type WrittenEffects struct {
	ID      parallax.ID
	Stamp   parallax.Stamp
	In      parallax.Leg // whose database it is
	Effects []parallax.Effect
}

// Bounds of what is stored of them.
const (
	maxWrittenHour  = 100_000  // changes an hour; more are counted only
	maxWrittenBytes = 16 << 20 // that wait for the store
	maxWrittenImage = 16 << 10 // of one row; of a larger one its key is stored
	maxWrittenRows  = 1_000    // that one question is answered with
)

// NoteWritten stores what the candidate committed as the live leg, with the next batch. It
// returns those for which there is no room: past 100 000 an hour, or 16 MiB that wait for
// the store.
func (r *Recorder) NoteWritten(w WrittenEffects) (left []parallax.Effect) {
	n := &r.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	if hour := w.Stamp.Received.Unix() / 3600; hour != n.writtenHour {
		n.writtenHour, n.written = hour, 0
	}
	for i := range w.Effects {
		e := &w.Effects[i]
		e.Before = nil
		if effectBytes(w.Effects[i:i+1]) > maxWrittenImage {
			e.After = nil
		}
		size := effectBytes(w.Effects[i : i+1])
		if n.written >= maxWrittenHour || n.next.writtenBytes+size > maxWrittenBytes {
			left, w.Effects = w.Effects[i:], w.Effects[:i]
			break
		}
		n.written++
		n.next.writtenBytes += size
	}
	if len(w.Effects) > 0 {
		n.next.written = append(n.next.written, w)
	}
	return left
}

// writeWritten writes what the candidate committed as the live leg.
func (s *Store) writeWritten(ctx context.Context, b *batch) error {
	var rows []effectRow
	for _, w := range b.notes.written {
		for i := range w.Effects {
			rows = append(rows, effectRow{w.ID, w.Stamp, w.In, i, &w.Effects[i]})
		}
	}
	return s.insertAll(ctx, "written_rows", b, len(rows), func(to driver.Batch, i int) error {
		e := &rows[i]
		return to.Append(uuid.UUID(e.id), e.stamp.Received.UTC().Truncate(time.Millisecond), e.stamp.Service, e.stamp.Endpoint, uint8(e.leg),
			e.Table, image(e.Key), uint32(e.n), string(e.Op), image(e.After), string(e.Correlation), e.At.UTC(), e.Position, b.written)
	})
}

// WrittenRow is a row that the candidate changed as the live leg, and what it did to it
// last, redacted.
type WrittenRow struct {
	Leg      string       `json:"leg"` // whose database it is in
	Table    string       `json:"table"`
	Key      []ColumnLine `json:"key"`
	Op       string       `json:"op"`
	After    []ColumnLine `json:"after,omitempty"` // not there for a row that was deleted, or is too large
	Changes  uint64       `json:"changes"`
	Exchange string       `json:"exchange"` // that changed it last
	Endpoint string       `json:"endpoint"`
	First    time.Time    `json:"first"` // commit, by the database's clock
	Last     time.Time    `json:"last"`
}

// Written is what the candidate wrote as the live leg in a window.
type Written struct {
	Rows     []WrittenRow `json:"rows"` // those that it changed last come first
	More     bool         `json:"more"` // there are more rows than were asked for
	Unlisted uint64       `json:"unlisted"`
	Gaps     []EffectGap  `json:"gaps"` // in which nobody read what it wrote
}

// WrittenFilter says which rows are wanted.
type WrittenFilter struct {
	Window Window // of the requests that changed them
	Table  string // empty: all
	Limit  int    // 0 or more than 1000: 1000
}

// Written returns the rows that the candidate has changed as the live leg: each once,
// however often it did.
func (s *Store) Written(ctx context.Context, service string, f WrittenFilter) (Written, error) {
	out := Written{Rows: []WrittenRow{}, Gaps: []EffectGap{}}
	if f.Limit <= 0 || f.Limit > maxWrittenRows {
		f.Limit = maxWrittenRows
	}
	cond := forService(service).within("received", f.Window).equal("table", f.Table)
	err := s.each(ctx, `
SELECT leg, table, key, argMax(op, (at, position, n)), argMax(after, (at, position, n)), count(), argMax(id, (at, position, n)), argMax(endpoint, (at, position, n)), min(at), max(at) AS last
FROM written_rows FINAL `+cond.String()+fmt.Sprintf(` GROUP BY leg, table, key ORDER BY last DESC, table, key LIMIT %d`, f.Limit+1), cond.args, func(rows driver.Rows) error {
		var (
			r          WrittenRow
			leg        uint8
			id         uuid.UUID
			key, after string
		)
		err := rows.Scan(&leg, &r.Table, &key, &r.Op, &after, &r.Changes, &id, &r.Endpoint, &r.First, &r.Last)
		if err != nil || int(leg) >= parallax.Legs {
			return err
		}
		r.Leg, r.Exchange = parallax.Leg(leg).String(), parallax.ID(id).String()
		if r.Key, err = readLines(key); err == nil {
			r.After, err = readLines(after)
		}
		out.Rows = append(out.Rows, r)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("cannot read what the candidate wrote: %w", err)
	}
	if out.More = len(out.Rows) > f.Limit; out.More {
		out.Rows = out.Rows[:f.Limit]
	}
	did, err := s.Effects(ctx, service, f.Window)
	for _, c := range did.Counts {
		if c.Count == unlisted {
			out.Unlisted += c.N
		}
	}
	out.Gaps = did.Gaps
	return out, err
}

func readLines(text string) ([]ColumnLine, error) {
	columns, err := readImage(text)
	return columnLines(columns), err
}

// unlisted is what changes are counted as besides that did not fit on the list.
const unlisted = "unlisted"
