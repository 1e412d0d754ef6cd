package divergence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// IssueKind is the kind of the decisions that set the state of an issue; their
// key is its fingerprint and their value its state.
const IssueKind = "issue"

// issueExamples is how many exchanges an issue names.
const issueExamples = 5

// issuesQuery groups differences by fingerprint. Exchanges with rows are counted
// by id, so that an exchange with several differences of one issue, or one that
// was delivered twice, counts once; further are those that were only counted.
// Shown values come from the latest exchange with rows in which the issue counts.
const issuesQuery = `
SELECT fingerprint, any(cause), any(endpoint), any(normal), any(kind), any(class),
    uniqExactIf(id, stored AND suppressed_by = '') + sumIf(further, suppressed_by = '') AS counting,
    uniqExactIf(id, stored AND suppressed_by != '') + sumIf(further, suppressed_by != ''),
    groupUniqArrayIf(8)(toString(suppressed_by), suppressed_by != ''),
    min(since), max(until), maxIf(until, suppressed_by = ''),
    argMax(primary, (stored, suppressed_by = '', until)), argMax(candidate, (stored, suppressed_by = '', until)),
    groupUniqArrayIf({examples:UInt8})(toString(id), stored AND kept), groupUniqArrayIf({examples:UInt8})(toString(id), stored AND NOT kept)
FROM
(
    SELECT fingerprint, cause, endpoint, normal, kind, class, suppressed_by, received AS since, received AS until,
        primary, candidate, id, kept, true AS stored, toUInt64(0) AS further
    FROM divergences
    %s
    UNION ALL
    SELECT fingerprint, cause, endpoint, normal, kind, class, suppressed_by, first, last,
        '', '', toUUID('00000000-0000-0000-0000-000000000000'), false, false, n
    FROM repeats
    %s
)
GROUP BY fingerprint
%s
ORDER BY counting DESC, fingerprint
LIMIT {limit:UInt32}`

// Issues returns the issues of a service, those in the most exchanges first.
func (s *Store) Issues(ctx context.Context, service string, f IssueFilter) ([]Issue, error) {
	said, err := s.saidOf(ctx, service)
	if err != nil {
		return nil, err
	}
	compared, err := s.comparable(ctx, service, f)
	if err != nil {
		return nil, fmt.Errorf("cannot read comparisons: %w", err)
	}
	having := "HAVING counting > 0"
	if f.Suppressed {
		having = ""
	}
	among := func(column string) *where {
		return forService(service).within(column, f.Window).equal("endpoint", f.Endpoint).equal("fingerprint", f.Fingerprint).equal("cause", f.Cause)
	}
	cond := among("received")
	most := limit(f.Limit, 200, 1000)
	asked := most
	if f.State != "" { // of which the store knows nothing
		asked = 1000
	}
	args := append(cond.args, clickhouse.Named("examples", issueExamples), clickhouse.Named("limit", asked))
	var out []Issue
	err = s.each(ctx, fmt.Sprintf(issuesQuery, cond, among("minute"), having), args, func(rows driver.Rows) error {
		i, err := scanIssue(rows)
		if err != nil {
			return err
		}
		i.decided(said, f.At)
		if n := compared[i.Endpoint]; n > 0 {
			i.Share = min(float64(i.Count)/float64(n), 1)
		}
		if f.State == "" || f.State == i.State {
			out = append(out, i)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read issues: %w", err)
	}
	return out[:min(len(out), most)], nil
}

// decided fills in the last word on the issue and its state.
func (i *Issue) decided(said map[string]IssueDecision, now time.Time) {
	d := said[i.Fingerprint]
	if i.State = d.state(now, i.LastCounted); d.State != "" {
		i.Decision = &d
	}
}

// saidOf returns the last decision on each issue.
func (s *Store) saidOf(ctx context.Context, service string) (map[string]IssueDecision, error) {
	list, err := s.lastDecisions(ctx, service)
	out := make(map[string]IssueDecision, len(list))
	for _, d := range list {
		out[d.Fingerprint] = d
	}
	return out, err
}

// lastDecisions returns the last decision on each issue, up to [maxDecided]: the
// latest of people, then the latest of Parallax itself, which never push out what
// somebody said.
func (s *Store) lastDecisions(ctx context.Context, service string) ([]IssueDecision, error) {
	cond := forService(service).equal("kind", IssueKind)
	cond.args = append(cond.args, clickhouse.Named("itself", Itself))
	return s.issueDecisions(ctx, fmt.Sprintf(`SELECT * FROM
(SELECT at, service, kind, key, value, who, note FROM decisions %s ORDER BY at DESC, value DESC LIMIT 1 BY key)
ORDER BY who = {itself:String}, at DESC, key LIMIT %d`, cond, maxDecided), cond.args)
}

// issueDecisions reads rows of the table decisions.
func (s *Store) issueDecisions(ctx context.Context, query string, args []any) ([]IssueDecision, error) {
	var out []IssueDecision
	err := s.each(ctx, query, args, func(rows driver.Rows) error {
		var d Decision
		err := rows.Scan(&d.At, &d.Service, &d.Kind, &d.Key, &d.Value, &d.Who, &d.Note)
		out = append(out, issueDecision(d))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read decisions: %w", err)
	}
	return out, nil
}

// History returns what was decided on an issue, the first first.
func (s *Store) History(ctx context.Context, service, fingerprint string) ([]IssueDecision, error) {
	cond := forService(service).equal("kind", IssueKind).equal("key", fingerprint)
	return s.issueDecisions(ctx, `SELECT at, service, kind, key, value, who, note FROM decisions `+cond.String()+` ORDER BY at, value LIMIT 1000`, cond.args)
}

// comparable counts the exchanges of each endpoint that issues are a share of.
func (s *Store) comparable(ctx context.Context, service string, f IssueFilter) (map[string]int64, error) {
	cond := forService(service).within("received", f.Window).equal("endpoint", f.Endpoint).and("outcome != 'not_comparable'")
	out := map[string]int64{}
	err := s.each(ctx, `SELECT endpoint, count() FROM comparisons `+cond.String()+` GROUP BY endpoint`, cond.args, func(rows driver.Rows) error {
		var endpoint string
		var n uint64
		err := rows.Scan(&endpoint, &n)
		out[endpoint] = int64(n)
		return err
	})
	return out, err
}

// valueExamples is how many examples of an issue have values of their own.
const valueExamples = 10

// Values returns examples of an issue that are not alike: each pair of values once,
// those in the most rows first, with the latest exchange that has them, one with
// stored bodies if there is any.
func (s *Store) Values(ctx context.Context, service, fingerprint string) ([]ValueExample, error) {
	cond := forService(service).equal("fingerprint", fingerprint)
	var out []ValueExample
	err := s.each(ctx, fmt.Sprintf(`
SELECT primary, candidate, argMax(path, (kept, received)), toString(argMax(id, (kept, received))), argMax(received, (kept, received)), max(kept), uniqExact(id) AS n
FROM divergences %s GROUP BY primary, candidate ORDER BY n DESC, primary, candidate LIMIT %d`, cond, valueExamples), cond.args, func(rows driver.Rows) error {
		var v ValueExample
		var n uint64
		err := rows.Scan(&v.Primary, &v.Candidate, &v.Path, &v.Exchange, &v.Received, &v.Kept, &n)
		v.Exchanges = int64(n)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read examples: %w", err)
	}
	return out, nil
}

// versionsBack is how far back a version of the candidate is looked for. One that
// was there in the hour before is not new.
const versionsBack = 24 * time.Hour

// newestVersions returns the version that the candidate has lately on each
// endpoint, without those that are older than a day.
func (s *Store) newestVersions(ctx context.Context, service string, now time.Time) (map[string]candidateVersion, error) {
	cond := forService(service).within("received", Window{From: now.Add(-versionsBack - time.Hour)}).and("candidate_version != ''")
	out := map[string]candidateVersion{}
	err := s.each(ctx, `
SELECT endpoint, candidate_version, min(received), countIf(outcome != 'not_comparable')
FROM comparisons `+cond.String()+` GROUP BY endpoint, candidate_version ORDER BY max(received)`, cond.args, func(rows driver.Rows) error {
		var endpoint string
		var v candidateVersion
		var n uint64
		if err := rows.Scan(&endpoint, &v.name, &v.first, &n); err != nil {
			return err
		}
		v.n = int64(n)
		if out[endpoint] = v; v.first.Before(now.Add(-versionsBack)) {
			out[endpoint] = candidateVersion{}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read versions: %w", err)
	}
	return out, nil
}

// Issue returns one issue as it is at a time, or [ErrNotFound].
func (s *Store) Issue(ctx context.Context, service, fingerprint string, at time.Time) (Issue, error) {
	list, err := s.Issues(ctx, service, IssueFilter{Fingerprint: fingerprint, Suppressed: true, At: at})
	if err != nil {
		return Issue{}, err
	}
	if fingerprint == "" || len(list) == 0 {
		return Issue{}, fmt.Errorf("issue %.40q: %w", fingerprint, ErrNotFound)
	}
	return s.askedAgain(ctx, service, list[0])
}

// askedAgain counts the exchanges of an issue that were asked again.
func (s *Store) askedAgain(ctx context.Context, service string, i Issue) (Issue, error) {
	cond := forService(service).and("id IN (SELECT id FROM divergences WHERE service = {service:String} AND fingerprint = {fingerprint:String})", "fingerprint", i.Fingerprint)
	err := s.each(ctx, `SELECT uniqExactIf(id, again_primary != ''), uniqExactIf(id, flaky) FROM comparisons `+cond.String(), cond.args, func(rows driver.Rows) error {
		var asked, flaky uint64
		err := rows.Scan(&asked, &flaky)
		i.AskedAgain, i.Flaky = int64(asked), int64(flaky)
		return err
	})
	if err != nil {
		return i, fmt.Errorf("cannot count what was asked again: %w", err)
	}
	return i, nil
}

func scanIssue(rows driver.Rows) (Issue, error) {
	var (
		i                 Issue
		count, suppressed uint64
		kept, others      []string
	)
	err := rows.Scan(&i.Fingerprint, &i.Cause, &i.Endpoint, &i.Path, &i.Kind, &i.Class, &count, &suppressed,
		&i.By, &i.First, &i.Last, &i.LastCounted, &i.Primary, &i.Candidate, &kept, &others)
	i.Count, i.Suppressed = int64(count), int64(suppressed)
	if i.LastCounted.Unix() == 0 {
		i.LastCounted = time.Time{}
	}
	slices.Sort(i.By)
	slices.Sort(kept)
	slices.Sort(others)
	i.Examples = append(kept, others...)
	i.Examples = i.Examples[:min(len(i.Examples), issueExamples)]
	return i, err
}
