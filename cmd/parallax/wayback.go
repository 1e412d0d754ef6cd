package main

import (
	"fmt"
	"math"

	"parallax"
	"parallax/reports"
	"parallax/ui"
)

// wayBack says what would be missing if everybody went back to the primary now.
func (svc *service) wayBack() reports.WayBack {
	b := svc.mirror.WayBack()
	out := reports.WayBack{WritesMissing: int64(b.WritesMissing), IDsUnknown: int64(min(b.Unknown, math.MaxInt64))}
	if !b.Oldest.IsZero() {
		out.Lag = max(0, svc.steps.now().Sub(b.Oldest).Seconds())
	}
	return out
}

// missingWrites lists the writes that a leg does not have.
func (svc *service) missingWrites(leg string, limit int) (out []ui.MissingWrite, err error) {
	for l := range parallax.Leg(parallax.Legs) {
		if l.String() != leg {
			continue
		}
		found, err := svc.mirror.Missing(l, limit)
		for _, m := range found {
			out = append(out, ui.MissingWrite(m))
		}
		return out, err
	}
	return nil, fmt.Errorf("there is no leg %q", leg)
}
