package effects

import (
	"slices"
	"time"

	"parallax"
)

// Reading is how reading one database is going.
type Reading struct {
	Leg      parallax.Leg
	Database string        // without secrets
	Behind   time.Duration // what was committed longer ago is read
	Gap      string        // why nothing of it is read at the moment; empty: it is
	Since    time.Time     // of the gap
}

// Readings returns how reading each database is going, in the order they were added.
func (j *Joiner) Readings() []Reading {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Reading, len(j.sources))
	for i, s := range j.sources {
		out[i] = Reading{Leg: s.leg, Database: s.name}
		if open := slices.IndexFunc(s.gaps, func(g Gap) bool { return g.Until.IsZero() }); open >= 0 {
			out[i].Gap, out[i].Since = s.gaps[open].Why, s.gaps[open].From
			continue
		}
		out[i].Behind = max(s.lag(), 0)
	}
	return out
}
