package divergence

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
)

const exchangeColumns = `id, received, service, endpoint, live, source, outcome, reason, divergences, noise, ruled, accepted, truncated, concurrent, covered, rules_hash, kept,
    primary_status, candidate_status, secondary_status, primary_error, candidate_error, secondary_error,
    primary_seconds, candidate_seconds, secondary_seconds, primary_version, candidate_version, secondary_version, secondary_asked,
    again_primary, again_candidate, again_primary_status, again_candidate_status, flaky`

// Exchanges returns compared exchanges of a service, the latest first.
func (s *Store) Exchanges(ctx context.Context, service string, f ExchangeFilter) ([]ExchangeSummary, error) {
	cond := forService(service).within("received", f.Window).equal("endpoint", f.Endpoint).equal("outcome", f.Outcome)
	if f.Kept {
		cond.and("kept")
	}
	if f.Fingerprint != "" {
		cond.and("id IN (SELECT id FROM divergences WHERE service = {service:String} AND fingerprint = {fingerprint:String})", "fingerprint", f.Fingerprint)
	}
	if f.Without != "" {
		cond.and("outcome != 'not_comparable' AND id NOT IN (SELECT id FROM divergences WHERE service = {service:String} AND fingerprint = {without:String})", "without", f.Without)
	}
	if f.Status > 0 {
		cond.and(fmt.Sprintf("primary_status = %d", f.Status))
	}
	if f.EachHour > 0 {
		cond.and(fmt.Sprintf("id IN (SELECT id FROM comparisons %s ORDER BY received, id LIMIT %d BY toStartOfHour(received))", cond, f.EachHour))
	}
	if f.Before != "" {
		id, err := parallax.ParseID(f.Before)
		if err != nil {
			return nil, err
		}
		cond.and("(received, id) < (SELECT received, id FROM comparisons WHERE service = {service:String} AND id = {before:UUID} LIMIT 1)", "before", id.String())
	}
	var out []ExchangeSummary
	err := s.each(ctx, fmt.Sprintf(`SELECT %s FROM comparisons %s ORDER BY received DESC, id DESC, written DESC LIMIT 1 BY id LIMIT %d`,
		exchangeColumns, cond, limit(f.Limit, 50, 1000)), cond.args, func(rows driver.Rows) error {
		x, err := scanExchange(rows)
		out = append(out, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read exchanges: %w", err)
	}
	return out, nil
}

func scanExchange(rows driver.Rows) (ExchangeSummary, error) {
	var (
		x                             ExchangeSummary
		id                            uuid.UUID
		divergences, noise, ruled, ok uint32
		status                        [parallax.Legs]uint16
		errs, versions                [parallax.Legs]string
		seconds                       [parallax.Legs]float64
		secondary                     bool
		again                         [2]string
		second                        [2]uint16
	)
	err := rows.Scan(&id, &x.Received, &x.Service, &x.Endpoint, &x.Live, &x.Source, &x.Outcome, &x.Reason,
		&divergences, &noise, &ruled, &ok, &x.Truncated, &x.Concurrent, &x.Covered, &x.RulesHash, &x.Kept,
		&status[0], &status[1], &status[2], &errs[0], &errs[1], &errs[2],
		&seconds[0], &seconds[1], &seconds[2], &versions[0], &versions[1], &versions[2], &secondary,
		&again[0], &again[1], &second[0], &second[1], &x.Flaky)
	x.ID = id.String()
	x.Divergences, x.Noise, x.Ruled, x.Accepted = int(divergences), int(noise), int(ruled), int(ok)
	for leg := range parallax.Leg(parallax.Legs) {
		if leg == parallax.Secondary && !secondary {
			continue
		}
		if leg < 2 && again[leg] != "" {
			x.Again = append(x.Again, SecondLine{Leg: leg.String(), Answer: again[leg], Status: int(second[leg])})
		}
		x.Legs = append(x.Legs, LegLine{Leg: leg.String(), Status: int(status[leg]), Error: errs[leg], Seconds: seconds[leg], Version: versions[leg]})
	}
	return x, err
}

// Exchange returns all that is stored about one exchange, or [ErrNotFound].
func (s *Store) Exchange(ctx context.Context, service string, id parallax.ID) (ExchangeDetail, error) {
	var d ExchangeDetail
	cond := forService(service).and("id = {id:UUID}", "id", id.String())
	found := false
	err := s.each(ctx, fmt.Sprintf(`SELECT %s FROM comparisons %s ORDER BY written DESC LIMIT 1`, exchangeColumns, cond), cond.args,
		func(rows driver.Rows) (err error) {
			found = true
			d.ExchangeSummary, err = scanExchange(rows)
			return err
		})
	if err != nil {
		return d, fmt.Errorf("cannot read exchange %s: %w", id, err)
	}
	if !found {
		return d, fmt.Errorf("exchange %s: %w", id, ErrNotFound)
	}
	// The rest has the same received, which spares reading other days.
	cond.and("received = fromUnixTimestamp64Milli({received:Int64}, 'UTC')", "received", d.Received.UnixMilli())
	if err := s.differences(ctx, cond, &d); err != nil {
		return d, fmt.Errorf("cannot read differences of exchange %s: %w", id, err)
	}
	if err := s.bodies(ctx, cond, id, &d); err != nil {
		return d, fmt.Errorf("cannot read bodies of exchange %s: %w", id, err)
	}
	if err := s.effects(ctx, cond, &d); err != nil {
		return d, fmt.Errorf("cannot read effects of exchange %s: %w", id, err)
	}
	return d, nil
}

func (s *Store) differences(ctx context.Context, cond *where, d *ExchangeDetail) error {
	return s.each(ctx, `
SELECT path, normal, kind, class, primary, candidate, fingerprint, cause, suppressed_by, detail
FROM divergences FINAL `+cond.String()+` ORDER BY suppressed_by != '', n`, cond.args, func(rows driver.Rows) error {
		var l DifferenceLine
		err := rows.Scan(&l.Path, &l.Normal, &l.Kind, &l.Class, &l.Primary, &l.Candidate, &l.Fingerprint, &l.Cause, &l.By, &l.Detail)
		d.Differences = append(d.Differences, l)
		return err
	})
}

// callColumns are the columns that scanCall reads.
const callColumns = `leg, version, method, target, host, proto,
    request_header_names, request_header_values, request_trailer_names, request_trailer_values,
    request_body, request_size, request_sha256, request_cut,
    status, header_names, header_values, trailer_names, trailer_values, body, size, sha256, cut,
    error, error_text, start_ns, first_ns, done_ns, identifiers, unread`

// bodies puts the exchange together again from its legs.
func (s *Store) bodies(ctx context.Context, cond *where, id parallax.ID, d *ExchangeDetail) error {
	return s.each(ctx, `SELECT `+callColumns+` FROM bodies FINAL `+cond.String(), cond.args, func(rows driver.Rows) error {
		leg, call, known, err := scanCall(rows)
		if err != nil || int(leg) >= parallax.Legs {
			return err
		}
		if d.Exchange == nil {
			d.Exchange = &parallax.Exchange{ID: id, Service: d.Service, Endpoint: d.Endpoint, Received: d.Received,
				Live: legNamed(d.Live), Source: sourceNamed(d.Source), Concurrent: d.Concurrent, Covered: d.Covered}
		}
		d.Exchange.Legs[leg] = call
		if leg == uint8(parallax.Primary) {
			d.Exchange.Unmapped, d.Unmapped, d.Identifiers = known.Unmapped, known.Unmapped, pairsOf(known.Pairs)
		}
		return nil
	})
}

func scanCall(rows driver.Rows) (uint8, *parallax.Call, knownText, error) {
	var (
		leg, kind            uint8
		status               uint16
		names, values        [4][]string
		body, answer         string
		sum, answerSum       string
		start, first, finish int64
		identifiers          string
		c                    parallax.Call
	)
	err := rows.Scan(&leg, &c.Version, &c.Request.Method, &c.Request.Target, &c.Request.Host, &c.Request.Proto,
		&names[0], &values[0], &names[1], &values[1], &body, &c.Request.Body.Size, &sum, &c.Request.Body.Cut,
		&status, &names[2], &values[2], &names[3], &values[3], &answer, &c.Response.Body.Size, &answerSum, &c.Response.Body.Cut,
		&kind, &c.Err.Text, &start, &first, &finish, &identifiers, &c.Unread)
	c.Request.Headers, c.Request.Trailers = fields(names[0], values[0]), fields(names[1], values[1])
	c.Response.Headers, c.Response.Trailers = fields(names[2], values[2]), fields(names[3], values[3])
	c.Request.Body.Bytes, c.Response.Body.Bytes = []byte(body), []byte(answer)
	copy(c.Request.Body.SHA256[:], sum)
	copy(c.Response.Body.SHA256[:], answerSum)
	c.Response.Status, c.Err.Kind = int(status), parallax.ErrKind(kind)
	c.Start, c.First, c.Done = time.Duration(start), time.Duration(first), time.Duration(finish)
	known, unread := readKnown(identifiers)
	return leg, &c, known, cmp.Or(err, unread)
}

// fields joins parallel arrays of names and values.
func fields(names, values []string) []parallax.Field {
	out := make([]parallax.Field, 0, len(names))
	for i := range min(len(names), len(values)) {
		out = append(out, parallax.Field{Name: names[i], Value: values[i]})
	}
	return out
}

// split is the reverse of fields.
func split(list []parallax.Field) (names, values []string) {
	names, values = make([]string, len(list)), make([]string, len(list))
	for i, f := range list {
		names[i], values[i] = f.Name, f.Value
	}
	return names, values
}

func legNamed(name string) parallax.Leg {
	for l := range parallax.Leg(parallax.Legs) {
		if l.String() == name {
			return l
		}
	}
	return parallax.Primary
}

func sourceNamed(name string) parallax.Source {
	for s := parallax.FromProxy; s <= parallax.FromReplay; s++ {
		if s.String() == name {
			return s
		}
	}
	return parallax.FromProxy
}
