package divergence

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// SignOffKind is the kind of the decisions that are sign-offs; their key is the
// endpoint.
const SignOffKind = "signoff"

// SignOff is that a person passes an endpoint that has too few exchanges for its
// tests, at what was observed of it then. The last one on an endpoint is in force.
type SignOff struct {
	At       time.Time `json:"at"`
	Endpoint string    `json:"endpoint"`
	Until    string    `json:"until"` // last day (UTC), such as 2027-01-31; empty takes back what was signed
	Who      string    `json:"who"`
	Reason   string    `json:"reason"`

	// Limits is what was observed, by test. Rates are shares between 0 and 1.
	Limits []SignedLimit `json:"limits"`

	// What the evidence was about.
	RulesHash        string `json:"rules_hash"`
	PolicyHash       string `json:"policy_hash"`
	PrimaryVersion   string `json:"primary_version"`
	CandidateVersion string `json:"candidate_version"`
}

// SignedLimit is what one test of an endpoint had seen: K of N count against the
// candidate, so that the rate was at most Upper.
type SignedLimit struct {
	Test  string  `json:"test"`
	K     uint64  `json:"k"`
	N     uint64  `json:"n"`
	Upper float64 `json:"upper"`
}

// Withdrawn says that the sign-off takes back the one before it.
func (s SignOff) Withdrawn() bool { return s.Until == "" }

// Over says that the last day has ended.
func (s SignOff) Over(now time.Time) bool {
	end, err := endOf(s.Until)
	return err != nil || !now.Before(end)
}

// Check returns what is wrong with the last day of a sign-off, with its place.
func (s SignOff) Check(now time.Time) []string {
	if s.Until == "" {
		return []string{"until: is missing; it is the last day (UTC), such as 2027-01-31"}
	}
	return checkDay(s.Until, now)
}

// signOffValue is how the table decisions holds what the other columns do not.
type signOffValue struct {
	Until            string        `json:"until,omitempty"`
	Limits           []SignedLimit `json:"limits,omitempty"`
	RulesHash        string        `json:"rules_hash,omitempty"`
	PolicyHash       string        `json:"policy_hash,omitempty"`
	PrimaryVersion   string        `json:"primary_version,omitempty"`
	CandidateVersion string        `json:"candidate_version,omitempty"`
}

func (s SignOff) row(service string) (Decision, error) {
	value, err := json.Marshal(signOffValue{s.Until, s.Limits, s.RulesHash, s.PolicyHash, s.PrimaryVersion, s.CandidateVersion})
	return Decision{At: s.At, Service: service, Kind: SignOffKind, Key: s.Endpoint, Value: string(value), Who: s.Who, Note: s.Reason}, err
}

// signOff reads a row. One that makes no sense signs nothing.
func signOff(row Decision) SignOff {
	var v signOffValue
	if err := json.Unmarshal([]byte(row.Value), &v); err != nil {
		v = signOffValue{}
	}
	return SignOff{
		At: row.At.UTC(), Endpoint: row.Key, Until: v.Until, Who: row.Who, Reason: row.Note, Limits: v.Limits,
		RulesHash: v.RulesHash, PolicyHash: v.PolicyHash, PrimaryVersion: v.PrimaryVersion, CandidateVersion: v.CandidateVersion,
	}
}

// maxSignOffs is how many endpoints of a service may be signed at once; of more, the
// latest are.
const maxSignOffs = 1000

// lastSignOffs returns the last sign-off of each endpoint, by endpoint, without those
// that were taken back.
func (s *Store) lastSignOffs(ctx context.Context, service string) ([]SignOff, error) {
	cond := forService(service).equal("kind", SignOffKind)
	var out []SignOff
	err := s.each(ctx, fmt.Sprintf(`SELECT * FROM
(SELECT at, service, kind, key, value, who, note FROM decisions %s ORDER BY at DESC, value DESC LIMIT 1 BY key)
ORDER BY at DESC, key LIMIT %d`, cond, maxSignOffs), cond.args,
		func(rows driver.Rows) error {
			var d Decision
			err := rows.Scan(&d.At, &d.Service, &d.Kind, &d.Key, &d.Value, &d.Who, &d.Note)
			out = append(out, signOff(d))
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read sign-offs: %w", err)
	}
	out = slices.DeleteFunc(out, SignOff.Withdrawn)
	slices.SortFunc(out, func(a, b SignOff) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return out, nil
}

// SignOff stores a sign-off and puts it in force in this process; others read it
// within seconds. It fails with [ErrAway] while the store is away.
func (b *Board) SignOff(ctx context.Context, service string, s SignOff) error {
	s.At = s.At.UTC().Truncate(time.Microsecond)
	row, err := s.row(service)
	if err != nil {
		return err
	}
	if err := b.cfg.Store.AppendDecision(ctx, row); err != nil {
		return err
	}
	return b.refresh(ctx, service)
}
