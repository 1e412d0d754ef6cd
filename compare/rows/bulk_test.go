package rows_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"parallax"
	"parallax/compare/rows"
)

// bulk is what a leg writes when it imports a lot: one batch with a line for each of n
// orders, and two items for each order. Line and total are what the leg says there.
func bulk(n, base int, line func(i int) string, total string) []rows.Row {
	var out []rows.Row
	insert := func(table string, values ...string) {
		all := columns(values...)
		out = append(out, rows.Row{Table: table, Op: parallax.Insert, Key: all[:1], Columns: all})
	}
	insert("batches", fmt.Sprintf("id!=%d", base), "note=import")
	for i := range n {
		insert("lines", fmt.Sprintf("id!=%d", base+i), fmt.Sprintf("batch_id>batches.id=%d", base), "said="+line(i))
		insert("orders", fmt.Sprintf("id!=%d", base+i), fmt.Sprintf("label=order %d", i), "total="+total, "state=new")
		insert("items", fmt.Sprintf("id!=%d", base+2*i), fmt.Sprintf("order_id>orders.id=%d", base+i), "sku=a")
		insert("items", fmt.Sprintf("id!=%d", base+2*i+1), fmt.Sprintf("order_id>orders.id=%d", base+i), "sku=b")
	}
	r := rand.New(rand.NewPCG(uint64(base), 1))
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// TestMatchInBulk holds that an exchange with as many rows as there may be takes no worker
// away for long, and that a difference in each of them is no more than that.
func TestMatchInBulk(t *testing.T) {
	t.Parallel()
	const n = 2400 // orders; four times as many rows
	alike := func(int) string { return "a" }
	other := func(i int) string { return fmt.Sprintf("line %d", i) }
	for name, c := range map[string]struct {
		line  func(int) string
		total string
		want  int
	}{
		"equal":             {alike, "1", 0},
		"each line differs": {other, "1", n},
		"each total":        {alike, "2", n},
		"both":              {other, "2", 2 * n},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := bulk(n, 1, alike, "1"), bulk(n, 9000, c.line, c.total)
			began := time.Now()
			m := rows.Match(a, b, rows.Options{})
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it takes %s", took)
			}
			if got := differing(m, a, b); got != c.want {
				t.Errorf("%d differences, want %d", got, c.want)
			}
		})
	}
}
