package divergence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Live is what callers newly got of one endpoint from either leg.
type Live struct {
	Service, Endpoint  string
	Primary, Candidate Lived
	Writes             []LiveWrite
}

// LiveWrite is how many requests of either leg changed one table in one way.
type LiveWrite struct {
	Table     string `json:"table"` // by the primary's name
	Op        string `json:"op"`
	Primary   Wrote  `json:"primary"`
	Candidate Wrote  `json:"candidate"`
}

// Wrote counts the requests of a leg whose changes are known.
type Wrote struct {
	N     uint64 `json:"n"`
	None  uint64 `json:"none"`  // of N: those with no such change
	Sized uint64 `json:"sized"` // of the others: those that there was a usual number for
	Other uint64 `json:"other"` // of Sized: those with another number than the primary's usual one of before
}

// Plus returns both together.
func (w Wrote) Plus(x Wrote) Wrote {
	return Wrote{w.N + x.N, w.None + x.None, w.Sized + x.Sized, w.Other + x.Other}
}

// list is how a store holds it: nothing at all where there is none. Releases that know of
// four figures only read nothing where there are six.
func (l Lived) list() []uint64 {
	switch {
	case l == (Lived{}):
		return nil
	case l.Read+l.Unread == 0:
		return []uint64{l.N, l.Failed, l.Timed, l.Slow}
	}
	return []uint64{l.N, l.Failed, l.Timed, l.Slow, l.Read, l.Unread}
}

// livedOf reads it; what is of no such length is nothing.
func livedOf(list []uint64) Lived {
	switch len(list) {
	case 4:
		return Lived{N: list[0], Failed: list[1], Timed: list[2], Slow: list[3]}
	case 6:
		return Lived{list[0], list[1], list[2], list[3], list[4], list[5]}
	}
	return Lived{}
}

// writesText is how a store holds what live legs wrote.
func writesText(list []LiveWrite) string {
	if len(list) == 0 {
		return ""
	}
	text, _ := json.Marshal(list) // plain values always encode
	return string(text)
}

// writesOf reads it.
func writesOf(text string) (list []LiveWrite, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("cannot read what live legs wrote: %w", err)
	}
	return list, nil
}

// AnsweredLive returns how many requests the candidate answered as the live leg since a time, as
// far as the store knows: those that were compared, and those of endpoints without pairs. What a
// sample left out is not among them, so it is no more than there were.
func (s *Store) AnsweredLive(ctx context.Context, service string, since time.Time) (uint64, error) {
	cond := forService(service).and("received >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", "since", since.UnixMilli())
	var paired, alone uint64
	err := s.each(ctx, `SELECT count() FROM comparisons FINAL `+cond.String()+` AND live = 'candidate' AND NOT candidate_failed`, cond.args, func(rows driver.Rows) error {
		return rows.Scan(&paired)
	})
	if err != nil {
		return 0, fmt.Errorf("cannot read what the candidate answered: %w", err)
	}
	cond = forService(service).and("at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", "since", since.UnixMilli())
	err = s.each(ctx, `SELECT toUInt64(sum(live_candidate[1]) - sum(live_candidate[2])) FROM ticks FINAL `+cond.String(), cond.args, func(rows driver.Rows) error {
		return rows.Scan(&alone)
	})
	if err != nil {
		return 0, fmt.Errorf("cannot read what the candidate answered: %w", err)
	}
	return paired + alone, nil
}
