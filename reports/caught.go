package reports

import "time"

// Caught says which share of flaws would be found on an endpoint, if the candidate
// had them: N flaws were put into stored answers at a time, and Share of them came
// to a divergence under the rules and the noise of then. It says how far a verdict
// can be trusted and decides nothing.
type Caught struct {
	Share float64   `json:"caught_share"`
	N     int       `json:"n"`
	At    time.Time `json:"at"`
	Age   float64   `json:"age_seconds"` // when the verdict was given
}

// caughtAt returns what is known with its age.
func caughtAt(known map[string]Caught, now time.Time) map[string]Caught {
	if len(known) == 0 {
		return nil
	}
	out := make(map[string]Caught, len(known))
	for endpoint, c := range known {
		c.Age = max(now.Sub(c.At).Seconds(), 0)
		out[endpoint] = c
	}
	return out
}
