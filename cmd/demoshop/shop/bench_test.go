package shop_test

import (
	"testing"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
)

// BenchmarkVisit has sixteen shoppers visit a shop, as fast as it answers; an
// operation is one visit of each. requests/s is what the shop, its database and
// the shoppers manage together on this machine.
func BenchmarkVisit(b *testing.B) {
	for _, o := range []shop.Options{
		{Version: shop.Old, Tag: true}, {Version: shop.Old, Comments: true},
		{Version: shop.New, Tag: true}, {Version: shop.New, Comments: true},
	} {
		name := o.Version + "/comments"
		if o.Tag {
			name = o.Version + "/tag"
		}
		b.Run(name, func(b *testing.B) {
			o.DSN = rig.Postgres(b).DSN("postgres")
			s := open(b, o)
			b.ResetTimer()
			seen := shoppers.Run(b.Context(), shoppers.Options{Base: s.url, Count: 16, Visits: b.N, Seed: 1, HTTP: s.http})
			b.StopTimer()
			if seen.Errors > 0 {
				b.Error(seen.Examples)
			}
			b.ReportMetric(float64(seen.Sent)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
