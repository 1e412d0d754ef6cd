package compare

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
)

// NoiseSample is what one exchange says about noise: the places where primary
// and secondary differ, and those where primary and candidate do. Places are
// written as the normalised path, a blank and the kind of difference, so that a
// field that changes by itself does not excuse a candidate that lacks it.
type NoiseSample struct {
	Endpoint  string
	Complete  bool     // all three legs gave comparable answers, and no list below was cut
	Secondary []string // sorted, without repeats
	Candidate []string // sorted, without repeats; what rules took away is not in it
}

// Bounds of a noise model. What does not fit is judged by its own exchange only.
const (
	maxNoiseEndpoints = 2000
	maxNoisePlaces    = 512 // of an endpoint; candidate-only places take at most half
)

// noiseAlpha is the chance of ever blaming a candidate for a place where it
// differs no more often than the secondary.
const noiseAlpha = 0.001

// NoiseModel remembers where primary and secondary differ, endpoint by endpoint.
// The zero value is empty and ready for use; it may be used by several
// goroutines at once.
//
// Between two instances of one version a difference at a place is noise. It
// stays noise for the candidate until the candidate differs there significantly
// more often. Over the exchanges that all three legs answered, let b count those
// where only the candidate differs from the primary, and c those where only the
// secondary does. Were the candidate just another instance of the old version,
// each of the b+c would be either with probability 1/2. So the model keeps the
// e-value of a beta mixture with a Jeffreys prior against 1/2,
//
//	ln E = lnB(1/2+b, 1/2+c) - lnB(1/2, 1/2) + (b+c) ln 2
//
// and ends the excuse when b > c and E reaches 1000. E-values may be looked at
// after every exchange: the chance that a place is ever blamed wrongly is at
// most 0.001 (Ville's inequality).
type NoiseModel struct {
	mu        sync.RWMutex
	endpoints map[string]map[string]noiseCount
}

// noiseCount is the evidence on one place. Known says that the secondary has
// differed there.
type noiseCount struct {
	known bool
	b, c  uint32
}

// Add folds one sample into the model.
func (m *NoiseModel) Add(s NoiseSample) {
	if len(s.Secondary) == 0 && (len(s.Candidate) == 0 || !s.Complete) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	places := m.places(s.Endpoint)
	if places == nil {
		return
	}
	for _, p := range s.Secondary {
		count, ok := places[p]
		if !ok && len(places) >= maxNoisePlaces {
			continue
		}
		count.known = true
		if _, both := slices.BinarySearch(s.Candidate, p); s.Complete && !both {
			count.c++
		}
		places[p] = count
	}
	if !s.Complete {
		return
	}
	for _, p := range s.Candidate {
		count, ok := places[p]
		if _, both := slices.BinarySearch(s.Secondary, p); both || !ok && len(places) >= maxNoisePlaces/2 {
			continue
		}
		count.b++
		places[p] = count
	}
}

func (m *NoiseModel) places(endpoint string) map[string]noiseCount {
	if m.endpoints == nil {
		m.endpoints = map[string]map[string]noiseCount{}
	}
	places, ok := m.endpoints[endpoint]
	if !ok && len(m.endpoints) < maxNoiseEndpoints {
		places = map[string]noiseCount{}
		m.endpoints[endpoint] = places
	}
	return places
}

// count returns the evidence on a place; a nil model has none.
func (m *NoiseModel) count(endpoint, place string) noiseCount {
	if m == nil {
		return noiseCount{}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.endpoints[endpoint][place]
}

// knows reports whether the model holds anything on an endpoint.
func (m *NoiseModel) knows(endpoint string) bool {
	if m == nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.endpoints[endpoint]) > 0
}

// NoisePlace is the evidence on one place, for people.
type NoisePlace struct {
	Place         string // normalised path, a blank, kind
	CandidateOnly int    // exchanges where only the candidate differs from the primary
	SecondaryOnly int    // exchanges where only the secondary does
	Blamed        bool   // the candidate differs significantly more often: no longer noise
}

// Places lists what the model holds as noise on an endpoint, sorted by place.
func (m *NoiseModel) Places(endpoint string) []NoisePlace {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []NoisePlace
	places := m.endpoints[endpoint]
	for _, p := range slices.Sorted(maps.Keys(places)) {
		if c := places[p]; c.known {
			out = append(out, NoisePlace{Place: p, CandidateOnly: int(c.b), SecondaryOnly: int(c.c), Blamed: c.blamed()})
		}
	}
	return out
}

// blamed reports whether the candidate differs significantly more often than the
// secondary.
func (n noiseCount) blamed() bool {
	return n.b > n.c && lnNoiseE(float64(n.b), float64(n.c)) >= -math.Log(noiseAlpha)
}

// lnNoiseE is the logarithm of the e-value in the comment of [NoiseModel].
func lnNoiseE(b, c float64) float64 {
	return lnBeta(0.5+b, 0.5+c) - lnBeta(0.5, 0.5) + (b+c)*math.Ln2
}

func lnBeta(a, b float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return la + lb - lab
}

// noisePlace names the place of a difference in the noise model. Elements of an
// array and lines of a text come and go in both directions, so that their kinds
// are one.
func noisePlace(normal string, kind Kind) string {
	several := normal == string(placeText) || strings.HasSuffix(normal, "[*]")
	if several && (kind == Missing || kind == Extra || kind == Moved) {
		kind = "elements"
	}
	return normal + " " + string(kind)
}
