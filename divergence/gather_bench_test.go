package divergence

import (
	"fmt"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// BenchmarkEffects is what an exchange with an order of eight items costs besides its
// answers: it is learnt from, what is known is looked up, and its rows are compared.
func BenchmarkEffects(b *testing.B) {
	drift := NewDrift(time.Now, []byte("key"))
	e := &Effects{Map: ids.NewMemory(ids.DefaultLimits, time.Now, nil), Missed: func() bool { return false }, Drift: drift}
	drift.change(&compare.RowChange{Entity: compare.Entity{1}, Differ: map[string]compare.Mark{"$.total": {}}}, time.Now()) // Some row of the service differs.
	x := pair(1, "POST /orders", 201, 201)
	x.Legs[1].Response.Body = x.Legs[0].Response.Body
	for leg, first := range []int{1, 9001} {
		order := fmt.Sprint(first)
		x.Legs[leg].Effects = append(x.Legs[leg].Effects, wrote(order, "10.00", "x"))
		for n := range 8 {
			line, sku := wrote(fmt.Sprint(first+n), "10.00", "x"), fmt.Sprint("sku", n)
			line.Table = "items"
			line.After = append(line.After, parallax.Column{Name: "order_id", Type: parallax.NumberColumn, Value: &order, Made: true, Ref: "orders.id"}, parallax.Column{Name: "sku", Value: &sku})
			x.Legs[leg].Effects = append(x.Legs[leg].Effects, line)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		_, learn := e.Learning(x)
		if err := learn(); err != nil {
			b.Fatal(err)
		}
		if c := compare.Compare(x, compare.Input{Effects: e.of(x)}); c.Outcome != compare.Match {
			b.Fatalf("%+v", c)
		}
	}
}
