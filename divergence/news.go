package divergence

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// IssueNews is that an issue began to count, or that it counts again after it was resolved.
type IssueNews struct {
	Fingerprint string
	Endpoint    string
	Path        string // normalised
	Kind        string
	Class       string

	First     time.Time // received, of the first exchange in which it counted; of those that are stored
	Resolved  time.Time // when it was last resolved; zero for never, or if something else was said since
	Regressed time.Time // received, of the first exchange in which it counted after that; zero for none
}

// newsQuery looks only at issues that counted lately. What was said of an issue is the last
// word on it, and one that regressed keeps the time at which it was resolved: whoever asks
// before and after Parallax has written down that it regressed is told the same.
const newsQuery = `
WITH
    lately AS
    (
        SELECT fingerprint FROM divergences WHERE service = {service:String} AND suppressed_by = '' AND received >= {since:DateTime64(3, 'UTC')}
        UNION DISTINCT
        SELECT fingerprint FROM repeats WHERE service = {service:String} AND suppressed_by = '' AND minute >= toStartOfMinute({since:DateTime64(3, 'UTC')}) AND last >= {since:DateTime64(3, 'UTC')}
    ),
    said AS
    (
        SELECT key, maxIf(at, state = 'resolved') AS resolved
        FROM (SELECT key, at, if(startsWith(value, '{'), JSONExtractString(value, 'state'), value) AS state FROM decisions WHERE service = {service:String} AND kind = 'issue')
        GROUP BY key HAVING argMax(state, at) IN ('resolved', 'regressed')
    )
SELECT fingerprint, any(endpoint), any(normal), any(kind), any(class), min(begun) AS counted, any(resolved),
    minIf(greatest(begun, resolved), resolved > 0 AND ended > resolved) AS regressed
FROM
(
    SELECT fingerprint, endpoint, normal, kind, class, received AS begun, received AS ended
    FROM divergences WHERE service = {service:String} AND suppressed_by = '' AND fingerprint IN (lately)
    UNION ALL
    SELECT fingerprint, endpoint, normal, kind, class, first AS begun, last AS ended
    FROM repeats WHERE service = {service:String} AND suppressed_by = '' AND fingerprint IN (lately)
) AS seen
LEFT JOIN said ON said.key = seen.fingerprint
GROUP BY fingerprint
HAVING counted >= {since:DateTime64(3, 'UTC')} OR regressed >= {since:DateTime64(3, 'UTC')}
ORDER BY greatest(counted, regressed), fingerprint
LIMIT {limit:UInt32}`

// IssueNews returns up to count issues of a service that began to count since a time, or
// regressed, those that did so first before the others.
func (s *Store) IssueNews(ctx context.Context, service string, since time.Time, count int) ([]IssueNews, error) {
	args := []any{clickhouse.Named("service", service), clickhouse.DateNamed("since", since.UTC(), clickhouse.MilliSeconds), clickhouse.Named("limit", count)}
	var out []IssueNews
	err := s.each(ctx, newsQuery, args, func(rows driver.Rows) error {
		var n IssueNews
		err := rows.Scan(&n.Fingerprint, &n.Endpoint, &n.Path, &n.Kind, &n.Class, &n.First, &n.Resolved, &n.Regressed)
		n.First, n.Resolved, n.Regressed = n.First.UTC(), known(n.Resolved), known(n.Regressed)
		out = append(out, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read which issues are new: %w", err)
	}
	return out, nil
}

// known returns a time in UTC, zero for the one that stands for none.
func known(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}

// Mark returns what a receiver of notifications was told of a service, as [Store.SetMark] was
// told; nil for nothing.
func (s *Store) Mark(ctx context.Context, service, receiver string) (mark []byte, err error) {
	cond := forService(service).and("receiver = {receiver:String}", "receiver", receiver)
	err = s.each(ctx, `SELECT mark FROM notified FINAL `+cond.String(), cond.args, func(rows driver.Rows) error {
		var text string
		err := rows.Scan(&text)
		mark = []byte(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what was notified: %w", err)
	}
	return mark, nil
}

// SetMark keeps what a receiver was told, at a time to the microsecond. The latest stands.
func (s *Store) SetMark(ctx context.Context, service, receiver string, at time.Time, mark []byte) error {
	token := fmt.Sprintf("%s %s %d %x", service, receiver, at.UnixMicro(), sha256.Sum256(mark))
	err := s.insert(ctx, "notified", token, 1, func(b driver.Batch, _ int) error {
		return b.Append(service, receiver, at.UTC().Truncate(time.Microsecond), string(mark))
	})
	if err != nil {
		return fmt.Errorf("cannot keep what was notified: %w", err)
	}
	return nil
}
