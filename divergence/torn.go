package divergence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// batchName names a batch of an instance.
type batchName struct {
	instance string
	seq      uint64
}

func (b batchName) String() string { return fmt.Sprintf("%d %s", b.seq, b.instance) }

// tornQuery lists the last batch of each instance, if exchanges in it were compared.
const tornQuery = `
SELECT instance, max(seq), argMax(first, seq), argMax(open, seq) AS compared
FROM
(
    SELECT instance, seq, min(minute) AS first,
        sumIf(n, reason IN ('received', 'stream/out')) - sumIf(n, startsWith(reason, 'unmirrored/') OR startsWith(reason, 'lost/') OR reason = 'stream/in') AS open
    FROM counts FINAL
    %s
    GROUP BY instance, seq
)
GROUP BY instance
HAVING compared > 0`

// torn lists batches of which the counts are stored and the comparisons are not: whoever
// wrote them was killed in between, or is about to go on. A consistent reading leaves them
// out, like the exchanges that a killed process had in flight. There is at most one of each
// instance; except is the one that knows by itself what it has written.
func (s *Store) torn(ctx context.Context, service string, w Window, except string) ([]batchName, error) {
	gone, err := s.horizonOf(ctx, service)
	if err != nil {
		return nil, err
	}
	var list []batchName
	oldest := time.Time{}
	cond := forService(service).within("minute", w).and("instance != {instance:String}", "instance", except)
	err = s.each(ctx, fmt.Sprintf(tornQuery, cond), cond.args, func(rows driver.Rows) error {
		var (
			b        batchName
			since    time.Time
			compared int64
		)
		if err := rows.Scan(&b.instance, &b.seq, &since, &compared); err != nil || since.Before(gone.before) {
			return err // Comparisons of then were dropped.
		}
		if list = append(list, b); oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	instances, seqs := make([]string, len(list)), make([]uint64, len(list))
	for i, b := range list {
		instances[i], seqs[i] = b.instance, b.seq
	}
	cond = forService(service).within("received", Window{From: oldest}).
		and("has({instances:Array(String)}, instance)", "instances", instances).
		and("has({seqs:Array(UInt64)}, batch)", "seqs", seqs) // Few rows are left to tell apart.
	err = s.each(ctx, `SELECT DISTINCT instance, batch FROM comparisons `+cond.String(), cond.args, func(rows driver.Rows) error {
		var whole batchName
		err := rows.Scan(&whole.instance, &whole.seq)
		list = slices.DeleteFunc(list, func(b batchName) bool { return b == whole })
		return err
	})
	return list, err
}

// withoutTorn leaves out the counts of batches that are not whole.
func withoutTorn(cond *where, torn []batchName) {
	if len(torn) == 0 {
		return
	}
	names := make([]string, len(torn))
	for i, b := range torn {
		names[i] = b.String()
	}
	cond.and("NOT has({torn:Array(String)}, concat(toString(seq), ' ', instance))", "torn", names)
}
