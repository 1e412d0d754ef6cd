package divergence

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// column is one column of the rows of a batch. Rows of the table comparisons are
// written column by column, since there is one for every exchange: value by value
// costs twice as much (BenchmarkExchange).
type column struct {
	name  string
	empty bool // in every row the default of its type: the table fills it in
	fill  func(to cells) error
}

// cells is where the values of a column go.
type cells interface {
	Append(list any) error
	AppendRow(value any) error
}

// values is a column of n values.
func values[T comparable](name string, n int, value func(i int) T) column {
	list, empty := make([]T, n), true
	var none T
	for i := range list {
		list[i] = value(i)
		empty = empty && list[i] == none
	}
	return column{name, empty, func(to cells) error { return to.Append(list) }}
}

// words is a column of n texts that repeat, of LowCardinality(String).
func words(name string, n int, word func(i int) string) column {
	empty := true
	for i := 0; i < n && empty; i++ {
		empty = word(i) == ""
	}
	return column{name, empty, func(to cells) error {
		last, boxed := "", any("") // one allocation for each run of a word, not for each row
		for i := range n {
			if w := word(i); w != last {
				last, boxed = w, w
			}
			if err := to.AppendRow(boxed); err != nil {
				return err
			}
		}
		return nil
	}}
}

// filled returns the columns that say anything, with their names.
func filled(all []column) (list []column, names []string) {
	for _, c := range all {
		if !c.empty {
			list, names = append(list, c), append(names, c.name)
		}
	}
	return list, names
}

// comparisonColumns are the rows of the table comparisons for a batch.
func comparisonColumns(b *batch) []column {
	n := len(b.records)
	at := func(i int) *record { return b.records[i] }
	list := []column{
		values("id", n, func(i int) uuid.UUID { return uuid.UUID(at(i).id) }),
		values("received", n, func(i int) time.Time { return at(i).stamp.Received.UTC() }),
		words("service", n, func(i int) string { return at(i).stamp.Service }),
		words("endpoint", n, func(i int) string { return at(i).stamp.Endpoint }),
		words("live", n, func(i int) string { return at(i).live.String() }),
		words("source", n, func(i int) string { return at(i).source.String() }),
		words("outcome", n, func(i int) string { return at(i).comparison.Outcome.String() }),
		words("reason", n, func(i int) string { return at(i).comparison.Reason }),
		values("divergences", n, func(i int) uint32 { return uint32(at(i).comparison.Divergences) }),
		values("noise", n, func(i int) uint32 { return uint32(at(i).comparison.Noise) }),
		values("ruled", n, func(i int) uint32 { return uint32(at(i).comparison.Ruled) }),
		values("accepted", n, func(i int) uint32 { return uint32(at(i).comparison.Accepted) }),
		values("truncated", n, func(i int) bool { return at(i).comparison.Truncated }),
		values("concurrent", n, func(i int) bool { return at(i).concurrent }),
		values("covered", n, func(i int) bool { return at(i).covered }),
		values("kept", n, func(i int) bool { return at(i).exchange != nil }),
		values("primary_failed", n, func(i int) bool { return at(i).comparison.PrimaryFailed }),
		values("candidate_failed", n, func(i int) bool { return at(i).comparison.CandidateFailed }),
		values("secondary_asked", n, func(i int) bool { return at(i).legs[2].asked }),
		words("rules_hash", n, func(i int) string { return at(i).rules }),
		words("policy_hash", n, func(i int) string { return at(i).policy }),
		words("instance", n, func(int) string { return b.instance }),
		values("batch", n, func(int) uint64 { return b.seq }),
		values("written", n, func(int) time.Time { return b.written }),
	}
	for leg, name := range []string{"primary", "candidate", "secondary"} {
		list = append(list,
			values(name+"_status", n, func(i int) uint16 { return at(i).legs[leg].status }),
			words(name+"_error", n, func(i int) string { return at(i).legs[leg].err.String() }),
			values(name+"_seconds", n, func(i int) float64 { return at(i).legs[leg].seconds }),
			words(name+"_version", n, func(i int) string { return at(i).legs[leg].version }))
	}
	return list
}

// fillAll writes the columns into a batch that names them in this order.
func fillAll(list []column, to func(i int) cells) error {
	for i, c := range list {
		if err := c.fill(to(i)); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}
