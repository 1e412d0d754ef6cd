package divergence

import (
	"context"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// IssueKind is the kind of the decisions that set the state of an issue; their
// key is its fingerprint and their value its state.
const IssueKind = "issue"

// OpenIssue is the state of an issue nobody decided on.
const OpenIssue = "open"

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
    min(since), max(until),
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
	states, err := s.issueStates(ctx, service)
	if err != nil {
		return nil, err
	}
	having := "HAVING counting > 0"
	if f.Suppressed {
		having = ""
	}
	among := func(column string) *where {
		return forService(service).within(column, f.Window).equal("endpoint", f.Endpoint).equal("fingerprint", f.Fingerprint)
	}
	cond := among("received")
	args := append(cond.args, clickhouse.Named("examples", issueExamples), clickhouse.Named("limit", limit(f.Limit, 200, 1000)))
	var out []Issue
	err = s.each(ctx, fmt.Sprintf(issuesQuery, cond, among("minute"), having), args, func(rows driver.Rows) error {
		i, err := scanIssue(rows)
		if err != nil {
			return err
		}
		if i.State = states[i.Fingerprint]; i.State == "" {
			i.State = OpenIssue
		}
		out = append(out, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read issues: %w", err)
	}
	return out, nil
}

// Issue returns one issue, or [ErrNotFound].
func (s *Store) Issue(ctx context.Context, service, fingerprint string) (Issue, error) {
	list, err := s.Issues(ctx, service, IssueFilter{Fingerprint: fingerprint, Suppressed: true})
	if err != nil {
		return Issue{}, err
	}
	if fingerprint == "" || len(list) == 0 {
		return Issue{}, fmt.Errorf("issue %.40q: %w", fingerprint, ErrNotFound)
	}
	return list[0], nil
}

func scanIssue(rows driver.Rows) (Issue, error) {
	var (
		i                 Issue
		count, suppressed uint64
		kept, others      []string
	)
	err := rows.Scan(&i.Fingerprint, &i.Cause, &i.Endpoint, &i.Path, &i.Kind, &i.Class, &count, &suppressed,
		&i.By, &i.First, &i.Last, &i.Primary, &i.Candidate, &kept, &others)
	i.Count, i.Suppressed = int64(count), int64(suppressed)
	slices.Sort(i.By)
	slices.Sort(kept)
	slices.Sort(others)
	i.Examples = append(kept, others...)
	i.Examples = i.Examples[:min(len(i.Examples), issueExamples)]
	return i, err
}

// issueStates folds the decisions on issues: the last one on each holds.
func (s *Store) issueStates(ctx context.Context, service string) (map[string]string, error) {
	list, err := s.Decisions(ctx, service, IssueKind)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, d := range list {
		states[d.Key] = d.Value
	}
	return states, nil
}
