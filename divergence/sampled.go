package divergence

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
)

// Sampled is a stored exchange with the primary's part of it.
type Sampled struct {
	ExchangeSummary
	Call *parallax.Call // redacted; a body of more than 64 KiB is left out
}

const (
	maxSampled     = 100      // exchanges of a side
	sampledEach    = 25       // of an hour
	fewSampled     = 5        // with fewer that were answered alike, those that were not are taken too
	maxSampledBody = 64 << 10 // bytes
)

// Contrast returns stored exchanges that show an issue and others of its endpoint that do
// not, of the week before the issue was last seen: the latest 100 of each, and of an hour
// the first 25, so that neither side is of other times. The others match, or differ in
// something else; they are those that the primary answered with the status that it most often
// has where the issue shows, so that answers are not told apart from refusals, unless there
// are too few.
func (s *Store) Contrast(ctx context.Context, service string, i Issue) (showing, others []Sampled, err error) {
	week := Window{From: i.Last.Add(-7 * 24 * time.Hour), To: i.Last.Add(time.Hour)}
	f := ExchangeFilter{Window: week, Endpoint: i.Endpoint, Kept: true, EachHour: sampledEach, Limit: maxSampled}
	f.Fingerprint = i.Fingerprint
	with, err := s.Exchanges(ctx, service, f)
	if err != nil || len(with) == 0 {
		return nil, nil, err
	}
	f.Fingerprint, f.Without, f.Status = "", i.Fingerprint, usualStatus(with)
	without, err := s.Exchanges(ctx, service, f)
	if err == nil && len(without) < fewSampled {
		f.Status = 0
		without, err = s.Exchanges(ctx, service, f)
	}
	if err != nil {
		return nil, nil, err
	}
	calls, err := s.primaryCalls(ctx, service, i.Endpoint, append(with[:len(with):len(with)], without...))
	if err != nil {
		return nil, nil, err
	}
	return sampled(with, calls), sampled(without, calls), nil
}

// usualStatus is the status that the primary has most often.
func usualStatus(list []ExchangeSummary) (status int) {
	counts := map[int]int{}
	for _, x := range list {
		for _, leg := range x.Legs {
			if leg.Leg == parallax.Primary.String() {
				counts[leg.Status]++
			}
		}
	}
	for each, n := range counts {
		if n > counts[status] || n == counts[status] && each < status {
			status = each
		}
	}
	return status
}

// sampled pairs exchanges with their calls. Those whose bodies went before their time are
// left out.
func sampled(list []ExchangeSummary, calls map[string]*parallax.Call) (out []Sampled) {
	for _, x := range list {
		if call := calls[x.ID]; call != nil {
			out = append(out, Sampled{x, call})
		}
	}
	return out
}

// primaryCalls reads what the primary was asked and answered in exchanges of an
// endpoint, by their ids.
func (s *Store) primaryCalls(ctx context.Context, service, endpoint string, list []ExchangeSummary) (map[string]*parallax.Call, error) {
	all := make([]string, len(list))
	span := Window{From: list[0].Received, To: list[0].Received}
	for i, x := range list {
		all[i] = x.ID
		if x.Received.Before(span.From) {
			span.From = x.Received
		}
		if x.Received.After(span.To) {
			span.To = x.Received
		}
	}
	span.To = span.To.Add(time.Millisecond) // To is not part of a window, and times are stored to the millisecond
	cond := forService(service).equal("endpoint", endpoint).within("received", span).and("leg = 0")
	cond.and("id IN (SELECT toUUID(arrayJoin({ids:Array(String)})))")
	cond.args = append(cond.args, clickhouse.Named("ids", all))
	out := map[string]*parallax.Call{}
	err := s.each(ctx, fmt.Sprintf(`SELECT id, %s FROM
(
    SELECT * REPLACE (if(length(request_body) <= %[2]d, request_body, '') AS request_body, if(length(body) <= %[2]d, body, '') AS body) FROM bodies FINAL %[3]s
)`, callColumns, maxSampledBody, cond), cond.args, func(rows driver.Rows) error {
		var id uuid.UUID
		_, call, _, err := scanCall(withID{rows, &id})
		out[id.String()] = call
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read sampled requests: %w", err)
	}
	return out, nil
}
