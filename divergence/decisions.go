package divergence

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// AppendDecision stores a decision. The time is kept to the microsecond.
func (s *Store) AppendDecision(ctx context.Context, d Decision) error {
	token := fmt.Sprintf("%d %s %s %s %x", d.At.UnixMicro(), d.Service, d.Kind, d.Key, sha256.Sum256([]byte(d.Value))) // a value may be long
	err := s.insert(ctx, "decisions", token, 1, func(b driver.Batch, _ int) error {
		return b.Append(d.At.UTC().Truncate(time.Microsecond), d.Service, d.Kind, d.Key, d.Value, d.Who, d.Note)
	})
	if err != nil {
		return fmt.Errorf("cannot store the decision: %w", err)
	}
	return nil
}

// RestartKind is the kind of the decision that starts evidence anew; its key is RestartKey.
const (
	RestartKind = "evidence"
	RestartKey  = "restart"
)

// lastRestart returns when the evidence of a service was last started anew by hand, zero for
// never.
func (s *Store) lastRestart(ctx context.Context, service string) (at time.Time, err error) {
	cond := forService(service).equal("kind", RestartKind).equal("key", RestartKey)
	err = s.each(ctx, `SELECT max(at) FROM decisions `+cond.String()+` HAVING count() > 0`, cond.args, func(rows driver.Rows) error {
		return rows.Scan(&at)
	})
	if err != nil {
		return at, fmt.Errorf("cannot read when evidence was started anew: %w", err)
	}
	return at.UTC(), nil
}

// Changes returns what people and the policy changed about who gets which version of a service,
// its rules and its evidence: up to limit decisions, the latest first. The texts of rules are
// left out.
func (s *Store) Changes(ctx context.Context, service string, limit int) ([]Decision, error) {
	cond := forService(service).and("kind IN ('step', 'rollback', 'promotion', 'evidence', 'rules')")
	var out []Decision
	err := s.each(ctx, fmt.Sprintf(`SELECT at, service, kind, key, if(kind = 'rules', '', value), who, note FROM decisions %s ORDER BY at DESC, key LIMIT %d`, cond, max(limit, 0)), cond.args,
		func(rows driver.Rows) error {
			var d Decision
			if err := rows.Scan(&d.At, &d.Service, &d.Kind, &d.Key, &d.Value, &d.Who, &d.Note); err != nil {
				return err
			}
			out = append(out, d)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read what was changed: %w", err)
	}
	return out, nil
}

// Decisions returns the decisions on a service in the order they were made, all
// kinds if kind is empty.
func (s *Store) Decisions(ctx context.Context, service, kind string) ([]Decision, error) {
	cond := forService(service).equal("kind", kind)
	var out []Decision
	err := s.each(ctx, `SELECT at, service, kind, key, value, who, note FROM decisions `+cond.String()+` ORDER BY at, key`, cond.args,
		func(rows driver.Rows) error {
			var d Decision
			if err := rows.Scan(&d.At, &d.Service, &d.Kind, &d.Key, &d.Value, &d.Who, &d.Note); err != nil {
				return err
			}
			out = append(out, d)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read decisions: %w", err)
	}
	return out, nil
}

// Ticks returns up to limit ticks of a service after a place in the list, in the
// order a verdict folds them: by At, Instance and Seq. Limit defaults to 10 000
// and is capped at 100 000. Ticks of an instance appear in order; one of another
// instance that was slow to write may appear behind a cursor that has passed it.
func (s *Store) Ticks(ctx context.Context, service string, after Cursor, count int) ([]Tick, error) {
	cond := forService(service)
	if !after.At.IsZero() {
		const from = "fromUnixTimestamp64Milli({after:Int64}, 'UTC')"
		cond.and("at >= "+from+" AND (at, toString(instance), seq) > ("+from+", {instance:String}, {seq:UInt64})",
			"after", after.At.UnixMilli(), "instance", after.Instance, "seq", after.Seq)
	}
	var out []Tick
	err := s.each(ctx, fmt.Sprintf(`
SELECT at, instance, seq, service, endpoint, rules_hash, policy_hash, primary_version, candidate_version,
    received, lost, n, k, not_comparable, unanswered, transient, unmapped, effects_unknown, effects_by_key, inherited, noise, accepted, b, c, timed, slow_b, slow_c, zero, repeated, live_primary, live_candidate, repeated_k, repeated_b, live_writes
FROM ticks FINAL %s ORDER BY at, instance, seq LIMIT %d`, cond, limit(count, 10_000, 100_000)), cond.args,
		func(rows driver.Rows) error {
			var t Tick
			var primary, candidate []uint64
			var writes string
			if err := rows.Scan(&t.At, &t.Instance, &t.Seq, &t.Service, &t.Endpoint, &t.RulesHash, &t.PolicyHash,
				&t.PrimaryVersion, &t.CandidateVersion, &t.Received, &t.Lost, &t.N, &t.K, &t.NotComparable, &t.Unanswered, &t.Transient, &t.Unmapped, &t.Unknown, &t.ByKey, &t.Inherited,
				&t.Noise, &t.Accepted, &t.B, &t.C, &t.Timed, &t.SlowB, &t.SlowC, &t.Zero, &t.Repeated, &primary, &candidate, &t.RepeatedK, &t.RepeatedB, &writes); err != nil {
				return err
			}
			t.LivePrimary, t.LiveCandidate = livedOf(primary), livedOf(candidate)
			var err error
			if t.LiveWrites, err = writesOf(writes); err != nil {
				return err
			}
			if len(t.Zero) == 0 {
				t.Zero = nil
			}
			out = append(out, t)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read ticks: %w", err)
	}
	return out, nil
}
