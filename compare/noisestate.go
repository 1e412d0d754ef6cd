package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// NoiseBasis is what an endpoint's noise was learnt under.
type NoiseBasis struct {
	Rules     string `json:"rules"` // hash of the endpoint's rules, see [Rules.HashAt]
	Primary   string `json:"primary,omitempty"`
	Candidate string `json:"candidate,omitempty"` // versions as the legs say them; empty says nothing
}

// Settle tells under what the next exchange of an endpoint is judged. Under other
// rules or another version of the primary, what was learnt there is forgotten:
// places may be others, and what the old version did by chance says nothing about
// the new one. Under another version of the candidate only what counts for and
// against the candidate is.
func (m *NoiseModel) Settle(endpoint string, b NoiseBasis) {
	m.mu.RLock()
	e := m.endpoints[endpoint]
	settled := e != nil && e.basis.takes(b) == e.basis
	m.mu.RUnlock()
	if settled {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e = m.endpoint(endpoint); e == nil {
		return
	}
	was := e.basis
	e.basis = was.takes(b)
	switch {
	case isAnother(was.Rules, e.basis.Rules) || isAnother(was.Primary, e.basis.Primary):
		m.places -= len(e.places)
		e.n, e.places = 0, map[string]noiseCount{}
	case isAnother(was.Candidate, e.basis.Candidate):
		for place, n := range e.places {
			e.places[place] = noiseCount{s: n.s}
		}
	}
}

// takes returns the basis with what another one says.
func (b NoiseBasis) takes(other NoiseBasis) NoiseBasis {
	for _, each := range []struct {
		at   *string
		said string
	}{{&b.Rules, other.Rules}, {&b.Primary, other.Primary}, {&b.Candidate, other.Candidate}} {
		if each.said != "" && each.said != *each.at {
			*each.at = strings.Clone(each.said) // a version may be part of an answer's head
		}
	}
	return b
}

func isAnother(from, to string) bool { return from != "" && from != to }

// Learnt reports whether there is anything to keep; a nil model has nothing.
func (m *NoiseModel) Learnt() bool {
	if m == nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.places > 0
}

// noiseVersion is the version of a model's encoding. It rises whenever a place is
// named or counted otherwise.
const noiseVersion = 1

// MaxNoiseText bounds the encoding of a noise model, in bytes: every place there
// may be, with its name written as JSON and its counts.
const MaxNoiseText = 64 << 20

// noiseText is a noise model as JSON.
type noiseText struct {
	Version   int                     `json:"version"`
	Endpoints map[string]endpointText `json:"endpoints"`
}

type endpointText struct {
	NoiseBasis
	Exchanges uint32               `json:"exchanges"`
	Places    map[string][3]uint32 `json:"places"` // secondary, candidate alone, secondary alone
}

// MarshalJSON writes what the model has learnt, the same text for the same counts.
func (m *NoiseModel) MarshalJSON() ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := noiseText{Version: noiseVersion, Endpoints: map[string]endpointText{}}
	for name, e := range m.endpoints {
		if e.n == 0 {
			continue
		}
		places := make(map[string][3]uint32, len(e.places))
		for place, n := range e.places {
			places[place] = [3]uint32{n.s, n.b, n.c}
		}
		out.Endpoints[name] = endpointText{NoiseBasis: e.basis, Exchanges: e.n, Places: places}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what [NoiseModel.MarshalJSON] wrote, within the bounds of a
// model; what is in the model is replaced. After an error it is empty.
func (m *NoiseModel) UnmarshalJSON(text []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endpoints, m.places = nil, 0
	if len(text) > MaxNoiseText {
		return fmt.Errorf("it is longer than %d MiB", MaxNoiseText>>20)
	}
	var in noiseText
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	if in.Version != noiseVersion {
		return fmt.Errorf("it is of version %d, and this Parallax reads version %d", in.Version, noiseVersion)
	}
	for _, e := range in.Endpoints {
		for _, n := range e.Places {
			if n[0] > e.Exchanges || n[1] > e.Exchanges || n[2] > e.Exchanges {
				return errors.New("a place was seen more often than its endpoint")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Endpoints)) {
		m.restore(name, in.Endpoints[name])
	}
	return nil
}

func (m *NoiseModel) restore(name string, text endpointText) {
	e := m.endpoint(name)
	if e == nil {
		return
	}
	e.n, e.basis = text.Exchanges, text.NoiseBasis
	for _, place := range slices.Sorted(maps.Keys(text.Places)) {
		n := text.Places[place]
		m.count(e, []string{place}, maxNoisePlaces, func(c *noiseCount) { *c = noiseCount{n[0], n[1], n[2]} })
	}
}
