package compare

import (
	"maps"
	"math"
	"slices"
	"sync"
)

// NoiseSample is what one exchange says about noise: the places where primary
// and secondary differ, and those where only one of secondary and candidate
// differs from the primary, of which there are none below the status while the
// secondary cannot be compared there. A place is written as the normalised path, the kind of
// difference and the shape of the other value, with blanks between them, so that
// a field that changes by itself excuses neither a candidate that lacks it nor an
// error text in it. What rules took away is not in a sample. Its lists are sorted
// and without repeats.
type NoiseSample struct {
	Endpoint       string
	Complete       bool // all three legs answered, and the candidate's answer could be compared
	Secondary      []string
	SecondaryAlone []string // also where the candidate agrees in one of several positions
	CandidateAlone []string // also where the secondary agrees in one of several positions
}

// Places returns how many places the sample names.
func (s NoiseSample) Places() int {
	return len(s.Secondary) + len(s.SecondaryAlone) + len(s.CandidateAlone)
}

// Bounds of a noise model. What does not fit is judged by its own exchange only.
const (
	maxNoiseEndpoints = 2000
	maxNoisePlaces    = 512     // of an endpoint; candidate-only places take at most half
	maxNoiseTotal     = 1 << 15 // places of all endpoints
	maxNoisePlace     = 512     // bytes of a place's name
)

// noiseAlpha is the chance of ever blaming a candidate for a place where it
// differs no more often than the secondary.
const noiseAlpha = 0.001

// NoiseModel remembers where primary and secondary differ, endpoint by endpoint.
// The zero value is empty and ready for use; it may be used by several
// goroutines at once.
//
// Between two instances of one version a difference is noise. A candidate's
// difference is excused when the secondary differs in the same exchange, at the
// very place (the same element of an array, the same line of a text), in the same
// kind, and with a value of like shape; a text moreover must keep the words that
// primary and secondary have in common. Where the secondary agrees by chance, the
// past may excuse it, but never in the elements of an array or the lines of a
// text:
//
//   - the place is noise as a rule: the secondary differed there in at least 3
//     exchanges and in at least one of 20;
//   - or the excuse is paid for: so far the secondary alone differed there more
//     often than the candidate alone. A single flake thus excuses one difference.
//
// Another status is noise only if primary and secondary take turns: each was seen
// to answer either.
//
// Any excuse but for elements and lines ends when the candidate differs
// significantly more often. Over the exchanges that all three legs answered, let b count those
// where only the candidate differs from the primary, and c those where only the
// secondary does. Were the candidate just another instance of the old version,
// each of the b+c would be either with probability 1/2. So the model keeps the
// e-value of a beta mixture with a Jeffreys prior against 1/2,
//
//	ln E = lnB(1/2+b, 1/2+c) - lnB(1/2, 1/2) + (b+c) ln 2
//
// and ends the excuse when b > c and E reaches 1000. E-values may be looked at
// after every exchange: the chance that a place is ever blamed wrongly is at
// most 0.001 (Ville's inequality; the mixture is that of Howard, Ramdas, McAuliffe
// and Sekhon, Annals of Statistics 49(2), 2021, proposition 7, with parameters 1/2
// and 1/2). What counts as b is the mirror image of what counts as c, or equal
// versions would not be equally likely to be either.
//
// What that means in figures (TestNoiseFigures has them, with fixed seeds): until a
// place has been seen three times, an equal candidate diverges in 0.3 exchanges on
// average where values are digits, and in 1.4 where they are coins; after that, in
// fewer than 1 of 1000. A candidate that always answers one and the same
// of the values that the others take by chance agrees with the primary as often as
// the secondary does, and is not found.
//
// What is known of an endpoint was learnt under its rules and from one version of
// the primary; see [NoiseModel.Settle].
type NoiseModel struct {
	mu        sync.RWMutex
	endpoints map[string]*endpointNoise
	places    int // of all endpoints
}

// endpointNoise is the evidence on one endpoint.
type endpointNoise struct {
	n      uint32 // exchanges with a secondary
	places map[string]noiseCount
	basis  NoiseBasis
}

// noiseCount is the evidence on one place: in how many exchanges the secondary
// differed, in how many only the candidate, in how many only the secondary.
type noiseCount struct{ s, b, c uint32 }

// What makes a place noise as a rule.
const (
	usualTimes = 3  // the secondary differed so often
	usualShare = 20 // in at least one of so many exchanges
)

// Add folds one sample into the model. An incomplete one tells where the
// secondary differs, and nothing about the candidate.
func (m *NoiseModel) Add(s NoiseSample) {
	if !s.Complete && len(s.Secondary) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.endpoint(s.Endpoint)
	if e == nil {
		return
	}
	e.n++
	m.count(e, s.Secondary, maxNoisePlaces, func(n *noiseCount) { n.s++ })
	if s.Complete {
		m.count(e, s.SecondaryAlone, maxNoisePlaces, func(n *noiseCount) { n.c++ })
		m.count(e, s.CandidateAlone, maxNoisePlaces/2, func(n *noiseCount) { n.b++ })
	}
}

func (m *NoiseModel) endpoint(name string) *endpointNoise {
	if m.endpoints == nil {
		m.endpoints = map[string]*endpointNoise{}
	}
	e, ok := m.endpoints[name]
	if !ok && len(m.endpoints) < maxNoiseEndpoints {
		e = &endpointNoise{places: map[string]noiseCount{}}
		m.endpoints[name] = e
	}
	return e
}

// count raises the counts of places; there is room for a new one below the bound.
func (m *NoiseModel) count(e *endpointNoise, places []string, bound int, raise func(*noiseCount)) {
	for _, place := range places {
		n, ok := e.places[place]
		if !ok && (len(e.places) >= bound || m.places >= maxNoiseTotal || len(place) > maxNoisePlace) {
			continue
		}
		if !ok {
			m.places++
		}
		raise(&n)
		e.places[place] = n
	}
}

// countAt returns the evidence on a place; a nil model has none.
func (m *NoiseModel) countAt(endpoint, place string) noiseCount {
	count, _ := m.look(endpoint, place)
	return count
}

// look returns the evidence on a place, and the number of exchanges it is from.
func (m *NoiseModel) look(endpoint, place string) (count noiseCount, of uint32) {
	if m == nil {
		return noiseCount{}, 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.endpoints[endpoint]; e != nil {
		return e.places[place], e.n
	}
	return noiseCount{}, 0
}

// knows reports whether the model holds any place of an endpoint.
func (m *NoiseModel) knows(endpoint string) bool {
	if m == nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.endpoints[endpoint]
	return e != nil && len(e.places) > 0
}

// changing returns the normalised paths at which values are noise.
func (m *NoiseModel) changing(endpoint string) map[string]bool {
	out := map[string]bool{}
	if m == nil {
		return out
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.endpoints[endpoint]; e != nil {
		for key, n := range e.places {
			if normal, ok := changing(key); ok && n.s > 0 && !n.blamed() {
				out[normal] = true
			}
		}
	}
	return out
}

// NoisePlace is the evidence on one place, for people.
type NoisePlace struct {
	Place         string  // as in [NoiseSample]
	Exchanges     int     // exchanges of the endpoint with a secondary
	Secondary     int     // those in which the secondary differed here
	CandidateOnly int     // exchanges where only the candidate differs from the primary
	SecondaryOnly int     // exchanges where only the secondary does
	EValue        float64 // evidence that the candidate differs more often, see [NoiseModel]; 1000 ends the excuse
	Usual         bool    // noise as a rule: the past excuses a candidate here
	Blamed        bool    // the candidate differs significantly more often: no longer noise
}

// Places lists what the model holds as noise on an endpoint, sorted by place. A nil
// model holds nothing.
func (m *NoiseModel) Places(endpoint string) []NoisePlace {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.endpoints[endpoint]
	if e == nil {
		return nil
	}
	var out []NoisePlace
	for _, p := range slices.Sorted(maps.Keys(e.places)) {
		if c := e.places[p]; c.s > 0 {
			out = append(out, NoisePlace{
				Place: p, Exchanges: int(e.n), Secondary: int(c.s), CandidateOnly: int(c.b), SecondaryOnly: int(c.c),
				EValue: c.eValue(), Usual: c.usual(e.n), Blamed: c.blamed(),
			})
		}
	}
	return out
}

// excuses reports whether the past excuses a candidate where the secondary does
// not differ now, from so many exchanges. What is excused while the secondary is
// away is never counted, so that it cannot be paid for.
func (n noiseCount) excuses(of uint32, judged bool) bool {
	return n.usual(of) || judged && n.b < n.c
}

// usual reports whether a place is noise as a rule.
func (n noiseCount) usual(of uint32) bool {
	return n.s >= usualTimes && uint64(n.s)*usualShare >= uint64(of)
}

// eValue is the evidence that the candidate differs more often, 1 at least unless
// it does not, and finite.
func (n noiseCount) eValue() float64 {
	if n.b <= n.c {
		return 0
	}
	return math.Exp(min(lnNoiseE(float64(n.b), float64(n.c)), 700))
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
