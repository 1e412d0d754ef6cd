package divergence

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"parallax"
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
		// One allocation for each word, not for each row; and the client looks every
		// value up but nil, which stands for "".
		boxed := map[string]any{"": nil}
		last, value := "", any(nil)
		for i := range n {
			if w := word(i); w != last {
				known, ok := boxed[w]
				if !ok {
					known = w
					boxed[w] = known
				}
				last, value = w, known
			}
			if err := to.AppendRow(value); err != nil {
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
		values("received", n, func(i int) time.Time { return at(i).at() }),
		words("service", n, func(i int) string { return at(i).service }),
		words("endpoint", n, func(i int) string { return at(i).endpoint }),
		words("live", n, func(i int) string { return at(i).live.String() }),
		words("source", n, func(i int) string { return at(i).source.String() }),
		words("outcome", n, func(i int) string { return at(i).outcome.String() }),
		words("reason", n, func(i int) string { return at(i).reason }),
		values("divergences", n, func(i int) uint32 { return at(i).divergences }),
		values("noise", n, func(i int) uint32 { return at(i).noise }),
		values("ruled", n, func(i int) uint32 { return at(i).ruled }),
		values("accepted", n, func(i int) uint32 { return at(i).accepted }),
		values("truncated", n, func(i int) bool { return at(i).truncated }),
		values("concurrent", n, func(i int) bool { return at(i).concurrent }),
		values("covered", n, func(i int) bool { return at(i).covered }),
		values("kept", n, func(i int) bool { return at(i).finds().exchange != nil }),
		values("primary_failed", n, func(i int) bool { return at(i).primaryFailed }),
		values("candidate_failed", n, func(i int) bool { return at(i).candidateFailed }),
		values("secondary_asked", n, func(i int) bool { return at(i).asked[parallax.Secondary] }),
		words("rules_hash", n, func(i int) string { return at(i).rules }),
		words("policy_hash", n, func(i int) string { return at(i).policy }),
		words("instance", n, func(int) string { return b.instance }),
		values("batch", n, func(int) uint64 { return b.seq }),
		values("written", n, func(int) time.Time { return b.written }),
	}
	for leg, name := range []string{"primary", "candidate"} {
		list = append(list,
			words("again_"+name, n, func(i int) string { return at(i).finds().second.how[leg].String() }),
			values("again_"+name+"_status", n, func(i int) uint16 { return at(i).finds().second.status[leg] }))
	}
	list = append(list, values("flaky", n, func(i int) bool { return at(i).finds().second.flaky }))
	for leg, name := range []string{"primary", "candidate", "secondary"} {
		list = append(list,
			values(name+"_status", n, func(i int) uint16 { return at(i).statuses[leg] }),
			words(name+"_error", n, func(i int) string { return at(i).errs[leg].String() }),
			values(name+"_seconds", n, func(i int) float64 { return at(i).seconds[leg] }),
			words(name+"_version", n, func(i int) string { return at(i).versions[leg] }))
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
