package divergence

import (
	"parallax"
	"parallax/compare"
)

// settleNoise tells the noise model under which rules and versions the next exchange
// is judged, so that nothing learnt under others excuses it.
func (j *Judge) settleNoise(x *parallax.Exchange) {
	if j.Noise == nil {
		return
	}
	f := j.filing(x, j.accepted(), "")
	j.Noise.Settle(x.Endpoint, compare.NoiseBasis{
		Rules: f.ruled, Primary: f.versions[parallax.Primary], Candidate: f.versions[parallax.Candidate],
	})
}
