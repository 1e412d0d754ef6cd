package divergence

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Said is what people said about the issues and endpoints of one service, as far as
// a verdict depends on it. It is a value that does not change.
type Said struct {
	Bugs   []IssueDecision // issues in state bug, by endpoint and fingerprint
	Signed []SignOff       // endpoints that somebody passed with too few exchanges, one each
	last   map[string]IssueDecision
}

// Said returns what was said about the issues of a service; false until the store
// was asked in this process.
func (b *Board) Said(service string) (Said, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.read[service] {
		return Said{}, false
	}
	out := Said{}
	if p := b.services[service]; p != nil {
		out = newSaid(p.last)
	}
	out.Signed = b.signed[service].list
	return out, true
}

// NewSaid returns what decisions come to, the last on an issue being in force.
func NewSaid(decisions []IssueDecision) Said { return newSaid(newBoardPage(decisions).last) }

// newSaid keeps the map, which nobody may change.
func newSaid(last map[string]IssueDecision) Said {
	out := Said{last: last}
	for _, d := range last {
		if d.State == BugIssue {
			out.Bugs = append(out.Bugs, d)
		}
	}
	slices.SortFunc(out.Bugs, func(a, b IssueDecision) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out
}

// Closed reports whether a person closed an issue that counted last at a time: it is
// accepted, noise, or resolved and not seen since. What Parallax resolved by itself
// is not closed by a person.
func (s Said) Closed(fingerprint string, lastCounted, now time.Time) bool {
	d := s.last[fingerprint]
	switch d.state(now, lastCounted) {
	case AcceptedIssue, NoiseIssue, ResolvedIssue:
		return d.Who != Itself
	}
	return false
}

// saidForm is what was said as JSON: what Bugs is made from is among the issues.
type saidForm struct {
	Issues []IssueDecision `json:"issues,omitempty"` // the latest on each, by fingerprint
	Signed []SignOff       `json:"signed,omitempty"`
}

// MarshalJSON writes all that was said.
func (s Said) MarshalJSON() ([]byte, error) {
	out := saidForm{Signed: s.Signed}
	for _, fingerprint := range slices.Sorted(maps.Keys(s.last)) {
		out.Issues = append(out.Issues, s.last[fingerprint])
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes, with known fields only.
func (s *Said) UnmarshalJSON(text []byte) error {
	var in saidForm
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return fmt.Errorf("what people said: %w", err)
	}
	*s = Said{Signed: in.Signed}
	if len(in.Issues) > 0 {
		*s = NewSaid(in.Issues)
		s.Signed = in.Signed
	}
	return nil
}
