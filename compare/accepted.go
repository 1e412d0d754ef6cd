package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The ways a person takes a difference away, as [Suppression] names them: it is
// known and accepted, or declared to be noise.
const (
	ByAcceptance    = "accepted"
	ByDeclaredNoise = "declared_noise"
)

// Acceptance is a person's word that the differences of one issue do not count.
type Acceptance struct {
	Fingerprint string
	Endpoint    string // the issue's; whose evidence starts anew
	By          string // ByAcceptance or ByDeclaredNoise
	Who, Note   string
	At          time.Time // when it was said
	Until       time.Time // first moment at which it no longer holds
}

// Acceptances are the issues of a service that people took away. They do not
// change and may be shared; nil is none.
//
// An acceptance takes differences away like a rule, also at places of which one
// divergence holds the verdict: a person closed them. It never takes away that the
// candidate gave no answer, and a candidate that fails where the primary does not
// is an error of the candidate whatever is accepted.
type Acceptances struct {
	byEndpoint map[string][]Acceptance // by fingerprint
}

// NewAcceptances returns the acceptances of a service. Of several of one issue the
// last holds.
func NewAcceptances(list []Acceptance) *Acceptances {
	out := &Acceptances{byEndpoint: map[string][]Acceptance{}}
	for _, a := range list {
		of := out.byEndpoint[a.Endpoint]
		same := func(b Acceptance) bool { return a.Fingerprint == b.Fingerprint }
		out.byEndpoint[a.Endpoint] = append(slices.DeleteFunc(of, same), a)
	}
	for _, of := range out.byEndpoint {
		slices.SortFunc(of, func(a, b Acceptance) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	}
	return out
}

// inForce returns what is said of an exchange that was received at a time, by
// fingerprint; nil is nothing.
func (a *Acceptances) inForce(endpoint string, at time.Time) map[string]Suppression {
	if a == nil || len(a.byEndpoint[endpoint]) == 0 {
		return nil // Fast path: most endpoints (BenchmarkCompare/equal)
	}
	var out map[string]Suppression
	for _, each := range a.byEndpoint[endpoint] {
		if at.Before(each.Until) {
			if out == nil {
				out = map[string]Suppression{}
			}
			out[each.Fingerprint] = Suppression{By: each.By, Detail: each.detail()}
		}
	}
	return out
}

// detail says who took the difference away, until when and why.
func (a Acceptance) detail() string {
	text := fmt.Sprintf("%s, until %s", a.Who, a.Until.Add(-time.Nanosecond).UTC().Format(time.DateOnly))
	if a.Note != "" {
		text += ": " + a.Note
	}
	return cut([]byte(text))
}

// HashAt joins the hash of an endpoint's rules with what is accepted of the
// endpoint at a time. Without an acceptance it is the hash itself, so that
// evidence starts anew when one begins, changes or ends, and goes on otherwise.
func (a *Acceptances) HashAt(rules, endpoint string, at time.Time) string {
	if a == nil {
		return rules
	}
	h := sha256.New()
	n := 0
	for _, each := range a.byEndpoint[endpoint] {
		if at.Before(each.Until) {
			n++
			fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d\x00", each.Fingerprint, each.By, each.At.UnixMicro(), each.Until.UnixMicro())
		}
	}
	if n == 0 {
		return rules
	}
	h.Write([]byte(rules))
	return rules + "+" + hex.EncodeToString(h.Sum(nil)[:4])
}

// Version is a short hash over all that is accepted at a time, "" for nothing.
func (a *Acceptances) Version(at time.Time) string {
	if a == nil {
		return ""
	}
	h, n := sha256.New(), 0
	for _, endpoint := range slices.Sorted(maps.Keys(a.byEndpoint)) {
		if hash := a.HashAt("", endpoint, at); hash != "" {
			n++
			fmt.Fprintf(h, "%s\x00%s\x00", endpoint, hash)
		}
	}
	if n == 0 {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// accept returns who took a difference away that would count.
func (f *finder) accept(at *place, kind Kind, primary, candidate side) Suppression {
	if len(f.accepted) == 0 || f.listen || f.probe || at.kind == placeAnswer {
		return Suppression{}
	}
	return f.accepted[fingerprint(f.endpoint, kind, at.normal(), causeOf(kind, primary, candidate))]
}
