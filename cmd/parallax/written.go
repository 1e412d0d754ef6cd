package main

import (
	"time"

	"parallax"
	"parallax/compare/effects"
	"parallax/divergence"
)

// lived has it found out what an exchange wrote that one leg answered alone.
func (s *server) lived(x *parallax.Exchange) {
	if svc := s.current.Load().byName[x.Service]; svc != nil {
		if g := svc.effects.now.Load(); g != nil {
			if x.Live == parallax.Candidate {
				g.joiner.Lived(x)
			} else {
				g.joiner.Answered(x)
			}
		}
	}
}

// keepWritten stores what the candidate committed as the live leg, and counts what there is
// no room for.
func (svc *service) keepWritten(w effects.Written) {
	list := svc.terms.Load().compares.Redactor.Effects(w.Effects)
	left := svc.recorder.NoteWritten(divergence.WrittenEffects{ID: w.Exchange, Stamp: w.Stamp, In: w.In, Effects: list})
	if len(left) == 0 {
		return
	}
	tables := map[string]uint64{}
	for _, e := range left {
		tables[e.Table]++
	}
	var counts []divergence.EffectCount
	for table, n := range tables {
		counts = append(counts, divergence.EffectCount{
			Minute: svc.steps.now().UTC().Truncate(time.Minute), Service: svc.name, Leg: w.In.String(), Table: table, Count: string(effects.Unlisted), N: n,
		})
	}
	svc.recorder.NoteEffects(counts, nil)
}
