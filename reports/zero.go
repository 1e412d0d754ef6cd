package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parallax/divergence"
)

// zeroSeen is an issue that was found at a place of which the policy allows none.
type zeroSeen struct {
	endpoint string
	last     time.Time // the latest tick that has it
}

// maxZero bounds how many such issues are remembered. Of more, one without a
// fingerprint is, which nobody can close: the verdict holds.
const maxZero = 20_000

// noteZero remembers what a tick has found at places of which the policy allows
// none. It does so whatever the rules, the policy and the versions were: such an
// issue holds until a person closes it.
func (e *Evidence) noteZero(t divergence.Tick) {
	if len(e.policy.Zero) == 0 {
		return
	}
	for _, fingerprint := range t.Zero {
		if _, known := e.zero[fingerprint]; !known && len(e.zero) >= maxZero {
			fingerprint = ""
		}
		e.zero[fingerprint] = zeroSeen{t.Endpoint, later(e.zero[fingerprint].last, t.At)}
	}
}

// heldByIssues returns what issues hold, by endpoint; those of waived endpoints hold
// nothing.
func (e *Evidence) heldByIssues(now time.Time, said divergence.Said) map[string][]Reason {
	zero, bugs := map[string][]string{}, map[string][]string{}
	note := func(in map[string][]string, endpoint, fingerprint string) {
		if _, _, waived := e.policy.waiver(endpoint, now); !waived {
			in[endpoint] = append(in[endpoint], fingerprint)
		}
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(e.zero)) {
		if seen := e.zero[fingerprint]; !said.Closed(fingerprint, seen.last, now) {
			note(zero, seen.endpoint, fingerprint)
		}
	}
	for _, d := range said.Bugs {
		note(bugs, d.Endpoint, d.Fingerprint)
	}
	out := map[string][]Reason{}
	for code, found := range map[Code]map[string][]string{ZeroPlace: zero, KnownBug: bugs} {
		for endpoint, fingerprints := range found {
			out[endpoint] = append(out[endpoint], Reason{Code: code, Endpoint: endpoint, K: uint64(len(fingerprints)), Detail: named(fingerprints)})
		}
	}
	for _, reasons := range out {
		slices.SortFunc(reasons, func(a, b Reason) int { return strings.Compare(string(b.Code), string(a.Code)) })
	}
	return out
}

// namedIssues is how many issues a reason names.
const namedIssues = 3

func named(fingerprints []string) string {
	text := strings.Join(fingerprints[:min(len(fingerprints), namedIssues)], ", ")
	if more := len(fingerprints) - namedIssues; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// heldBy is the verdict with what issues hold.
func (v EndpointVerdict) heldBy(issues []Reason) EndpointVerdict {
	if len(issues) > 0 && v.Decision != Rollback {
		v.Decision = Hold
		v.Reasons = append(slices.Clone(issues), v.Reasons...)
	}
	return v
}

// others returns what issues hold on endpoints that are not judged, by endpoint.
func others(held map[string][]Reason) []Reason {
	var out []Reason
	for _, endpoint := range slices.Sorted(maps.Keys(held)) {
		out = append(out, held[endpoint]...)
	}
	return out
}
