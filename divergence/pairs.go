package divergence

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
	"parallax/internal/ids"
)

// PairFilter chooses stored pairs: exchanges whose bodies are kept. Zero fields do
// not filter.
type PairFilter struct {
	Window
	Endpoint string
	Each     int // so many at most of an endpoint and outcome, the latest; 0: all
	Limit    int // so many at most in all, the latest; defaults to 1 000, capped at 10 000
}

// StoredPair names a stored pair and what came of it when it was compared.
type StoredPair struct {
	ID       parallax.ID
	Received time.Time
	Endpoint string
	Outcome  string
	Reason   string // why it is not comparable
	Live     parallax.Leg

	known []ids.Known // of its identifiers, once it is loaded
}

// Pairs lists stored pairs of a service, the latest first, and says how many there
// are of which they were chosen. It reads no bodies.
func (s *Store) Pairs(ctx context.Context, service string, f PairFilter) (list []StoredPair, all int, err error) {
	cond := forService(service).within("received", f.Window).equal("endpoint", f.Endpoint).and("kept")
	each := ""
	if f.Each > 0 {
		each = fmt.Sprintf("LIMIT %d BY endpoint, outcome", f.Each)
	}
	err = s.each(ctx, fmt.Sprintf(`SELECT id, received, endpoint, outcome, reason, live, count() OVER () FROM
(
    SELECT id, received, endpoint, outcome, reason, live FROM comparisons %s ORDER BY written DESC LIMIT 1 BY id
) ORDER BY received DESC, id DESC %s LIMIT %d`, cond, each, limit(f.Limit, 1000, 10_000)), cond.args, func(rows driver.Rows) error {
		var (
			p    StoredPair
			id   uuid.UUID
			live string
			n    uint64
		)
		err := rows.Scan(&id, &p.Received, &p.Endpoint, &p.Outcome, &p.Reason, &live, &n)
		p.ID, p.Live, all = parallax.ID(id), legNamed(live), int(n)
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cannot list stored pairs: %w", err)
	}
	return list, all, nil
}

// load puts the exchanges of pairs together again from their legs. One whose bodies
// went before their time is nil.
func (s *Store) load(ctx context.Context, service string, pairs []StoredPair) ([]*parallax.Exchange, error) {
	at := map[parallax.ID]int{}
	list := make([]string, len(pairs))
	from, to := pairs[0].Received, pairs[0].Received
	for i, p := range pairs {
		at[p.ID], list[i] = i, p.ID.String()
		if p.Received.Before(from) {
			from = p.Received
		}
		if p.Received.After(to) {
			to = p.Received
		}
	}
	out := make([]*parallax.Exchange, len(pairs))
	cond := forService(service).within("received", Window{From: from, To: to.Add(time.Millisecond)})
	cond.and("id IN (SELECT toUUID(arrayJoin({ids:Array(String)})))")
	cond.args = append(cond.args, clickhouse.Named("ids", list))
	err := s.each(ctx, `SELECT id, `+callColumns+` FROM bodies FINAL `+cond.String(), cond.args, func(rows driver.Rows) error {
		var id uuid.UUID
		leg, call, known, err := scanCall(withID{rows, &id})
		i, asked := at[parallax.ID(id)]
		if err != nil || int(leg) >= parallax.Legs || !asked {
			return err
		}
		if out[i] == nil {
			p := &pairs[i]
			out[i] = &parallax.Exchange{ID: p.ID, Service: service, Endpoint: p.Endpoint, Received: p.Received, Live: p.Live}
		}
		out[i].Legs[leg] = call
		if leg == uint8(parallax.Primary) {
			out[i].Unmapped, pairs[i].known = known.Unmapped, known.Pairs
		}
		return nil
	})
	if err == nil {
		err = s.loadEffects(ctx, cond, func(id parallax.ID) *parallax.Exchange {
			if i, asked := at[id]; asked {
				return out[i]
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read stored pairs: %w", err)
	}
	return out, nil
}

// withID scans the id that stands before the columns of a call.
type withID struct {
	driver.Rows
	id *uuid.UUID
}

func (r withID) Scan(into ...any) error { return r.Rows.Scan(append([]any{r.id}, into...)...) }
