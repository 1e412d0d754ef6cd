package main

import (
	"fmt"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
)

// TestOneRequestOverAndOverPromotesNothing: other requests do.
func TestOneRequestOverAndOverPromotesNothing(t *testing.T) {
	t.Parallel()
	p := rig.Start(t, shopConfig(backend(t, "9.99"), backend(t, "9.99"), `
  promotion: { min_duration: 0s, max_divergence_rate: 0.05, max_error_rate: 0.05, slower: { ratio: 100, plus: 5s, max_share: 0.5 } }
`))
	until := func(want reports.Decision, code reports.Code) {
		t.Helper()
		rig.Eventually(t, "the verdict "+string(want), func() error {
			var v reports.Verdict
			if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
				return err
			}
			known := code == ""
			for _, r := range v.Reasons {
				known = known || r.Code == code && r.K == 280 && r.N == 300
			}
			if v.Decision != want || !known {
				return fmt.Errorf("%s: %+v", v.Decision, v.Reasons)
			}
			return nil
		})
	}
	for range 300 {
		call(t, p, "GET", "/orders/1", "", 200)
	}
	until(reports.Hold, reports.Repeated)
	for i := range 100 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", 2+i), "", 200)
	}
	until(reports.Promote, "")
}
