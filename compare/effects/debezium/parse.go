package debezium

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"parallax"
)

// Bounds of a body.
const (
	MaxBody   = 8 << 20 // bytes of a body
	maxEvents = 10_000  // events of a body
	maxFaults = 20      // of a body that are told
	maxTag    = 256     // bytes
)

// parse reads a body: one event or an array of them. It returns everything that is
// wrong, up to maxFaults; then there are no events.
func parse(body []byte) ([]event, []Fault) {
	list, err := split(body)
	if err != nil {
		return nil, []Fault{{Event: -1, Text: err.Error()}}
	}
	out := make([]event, 0, len(list))
	var faults []Fault
	for i, raw := range list {
		e, err := parseEvent("", raw)
		if err == nil {
			out = append(out, e)
			continue
		}
		f, ok := errors.AsType[Fault](err)
		if !ok {
			f.Text = err.Error()
		}
		f.Event = i
		if faults = append(faults, f); len(faults) == maxFaults {
			break
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return out, nil
}

// split takes a body apart into its events.
func split(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) > MaxBody:
		return nil, fmt.Errorf("the body is longer than %d bytes", MaxBody)
	case !utf8.Valid(body):
		return nil, errors.New("the body is not UTF-8")
	case len(body) == 0:
		return nil, errors.New("the body is empty: want an event or an array of events")
	}
	if body[0] != '[' {
		var one json.RawMessage
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, fmt.Errorf("the body is not JSON: %w", err)
		}
		return []json.RawMessage{one}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	if len(list) > maxEvents {
		return nil, fmt.Errorf("the body has more than %d events", maxEvents)
	}
	return list, nil
}

// parseEvent reads one event in any of its wrappings; at is where it stands.
func parseEvent(at string, raw json.RawMessage) (event, error) {
	if isNull(raw) { // a tombstone
		return event{}, nil
	}
	o, err := readObject(at, raw)
	if err != nil {
		return event{}, err
	}
	var e event
	switch {
	case o.has("specversion"):
		e, err = cloudEvent(o)
	case o.has("sink"):
		e, err = plainEvent(o)
	case o.has("value") && o.only("key", "value", "headers", "topic", "partition", "offset", "timestamp"):
		e, err = record(o)
	default:
		e, err = unwrapped(o)
	}
	e.size = len(raw)
	return e, err
}

// unwrapped reads an envelope, with its schema around it or not.
func unwrapped(o object) (event, error) {
	if !o.has("payload") || o.has("op") {
		return envelope(o, nil)
	}
	s, err := readSchema(join(o.at, "schema"), o.get("schema"))
	if err != nil {
		return event{}, err
	}
	if o.get("payload") == nil { // a tombstone
		return event{}, nil
	}
	payload, err := o.object("payload")
	if err != nil {
		return event{}, err
	}
	return envelope(payload, s)
}

// record reads a Kafka record whose halves were kept together.
func record(o object) (event, error) {
	if o.get("value") == nil { // a tombstone
		return event{}, nil
	}
	e, err := parseEvent(join(o.at, "value"), o.get("value"))
	if err != nil || e.kind != row || o.get("key") == nil {
		return e, err
	}
	key, err := o.object("key")
	if err != nil {
		return event{}, err
	}
	var s *schema
	if key.only("schema", "payload") && key.has("payload") {
		if s, err = readSchema(join(key.at, "schema"), key.get("schema")); err != nil {
			return event{}, err
		}
		if key, err = key.object("payload"); err != nil {
			return event{}, err
		}
	}
	e.named, _, err = columns(key, s)
	return e, err
}

// envelope reads what Debezium sends: a change, a message, the bounds of a transaction,
// a heartbeat, a change of a schema.
func envelope(o object, s *schema) (event, error) {
	switch {
	case o.has("op"):
		op, err := o.text("op")
		if err != nil {
			return event{}, err
		}
		source, err := o.object("source")
		if err != nil {
			return event{}, err
		}
		tx, err := o.object("transaction")
		if err != nil {
			return event{}, err
		}
		return change{op: op, data: o, schema: s, source: source, transaction: tx}.read()
	case o.has("status") && o.has("id"):
		return boundary(o)
	case o.has("ddl"), o.has("tableChanges"): // a change of a schema
		return named(o)
	case o.has("ts_ms") && o.only("ts_ms", "ts_us", "ts_ns"): // a heartbeat
		return event{}, nil
	}
	return event{}, o.fault("", "is none of: a change event (op), the bounds of a transaction (status, id), a heartbeat, a record (key, value), a CloudEvent (specversion), a plain envelope (sink)")
}

// named reads of an event that changes nothing which source it is from.
func named(o object) (event, error) {
	source, err := o.object("source")
	if err != nil {
		return event{}, err
	}
	name, err := source.text("name")
	return event{source: name}, err
}

// boundary reads the beginning or end of a transaction.
func boundary(o object) (e event, err error) {
	status, err := o.text("status")
	if err != nil {
		return e, err
	}
	if e.tx, err = o.text("id"); err != nil {
		return e, err
	}
	switch status {
	case "BEGIN":
		return e, nil
	case "END":
	default:
		return e, o.fault("status", "is neither BEGIN nor END")
	}
	if e.count, err = o.integer("event_count"); err != nil {
		return e, err
	}
	if e.tx == "" {
		return e, o.fault("id", "is empty")
	}
	if ms, err := o.integer("ts_ms"); err != nil {
		return e, err
	} else if ms > 0 {
		e.at = time.UnixMilli(ms).UTC()
	}
	e.kind = end
	return e, nil
}

// change is an envelope with op, wherever its parts stood.
type change struct {
	op                        string
	data, source, transaction object
	schema                    *schema // of data
}

func (c change) read() (e event, err error) {
	if e, err = c.where(); err != nil {
		return e, err
	}
	switch c.op {
	case "r": // a snapshot says what was there before; nobody wrote it now
		e.kind = alive
		return e, nil
	case "m":
		return c.message(e)
	case "c", "u", "d", "t":
	default:
		return e, c.data.fault("op", "is none of c, u, d, r, t and m")
	}
	e.kind, e.op = row, c.op
	if e.table, err = c.table(); err != nil {
		return e, err
	}
	query, err := c.source.text("query")
	if err != nil {
		return e, err
	}
	e.tag = traceparent(query)
	if e.op == "t" {
		return e, nil
	}
	return e, c.images(&e)
}

// where reads what source and transaction say.
func (c change) where() (e event, err error) {
	s := c.source
	if e.source, err = s.text("name"); err != nil {
		return e, err
	}
	if e.source == "" {
		return e, s.fault("name", "is missing: it is the connector's topic.prefix")
	}
	if e.at, err = c.committed(); err != nil {
		return e, err
	}
	if e.place.file, err = s.text("file"); err != nil {
		return e, err
	}
	place := "pos"
	if s.has("lsn") {
		place = "lsn"
	}
	if e.place.pos, err = s.integer(place); err != nil {
		return e, err
	}
	if e.place.row, err = s.integer("row"); err != nil {
		return e, err
	}
	if e.order, err = c.transaction.integer("total_order"); err != nil {
		return e, err
	}
	if e.order < 0 {
		return e, c.transaction.fault("total_order", "is negative")
	}
	if e.tx, err = c.id(e.place); err != nil {
		return e, err
	}
	e.mark = c.mark(&e)
	return e, nil
}

// committed returns the time of the commit, as exact as it was told.
func (c change) committed() (time.Time, error) {
	us, err := c.source.integer("ts_us")
	if err == nil && us > 0 {
		return time.UnixMicro(us).UTC(), nil
	}
	ms, err := c.source.integer("ts_ms")
	if err == nil && ms <= 0 {
		err = c.source.fault("ts_ms", "is missing: it is the time of the commit")
	}
	return time.UnixMilli(ms).UTC(), err
}

// id returns what the transaction is called: by its metadata, else by what the
// database calls it, else by the statement's place: then the statements of one
// transaction are not known to belong together.
func (c change) id(p place) (string, error) {
	if id, err := c.transaction.text("id"); id != "" || err != nil {
		return id, err
	}
	if raw := c.source.get("txId"); raw != nil {
		return "tx " + string(bytes.Trim(raw, `"`)), nil
	}
	if id, err := c.source.text("gtid"); id != "" || err != nil {
		return id, err
	}
	if p.file == "" && p.pos == 0 {
		return "", nil
	}
	return fmt.Sprintf("%s:%d", p.file, p.pos), nil
}

// mark is the same for the same event: source, position, transaction and order. Where
// an order is not told, several rows may stand at one position; then what they say
// tells them apart.
func (c change) mark(e *event) (mark [16]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d %d %q %d %s", e.source, e.place.file, e.place.pos, e.place.row, e.tx, e.order, c.op)
	if e.order == 0 {
		for _, name := range []string{"schema", "db", "table"} {
			fmt.Fprintf(h, " %s", c.source.get(name))
		}
		for _, name := range []string{"before", "after", "message"} {
			fmt.Fprintf(h, " %s", c.data.get(name))
		}
	}
	copy(mark[:], h.Sum(nil))
	return mark
}

// table returns what the table may be called.
func (c change) table() (t table, err error) {
	name, err := c.source.text("table")
	if err != nil {
		return t, err
	}
	if name == "" {
		return t, c.source.fault("table", "is missing")
	}
	space, err := c.source.text("schema")
	if err != nil {
		return t, err
	}
	t.bare = name
	if space != "" && space != "public" {
		t.bare = ""
	}
	if space == "" {
		if space, err = c.source.text("db"); err != nil {
			return t, err
		}
	}
	t.whole = part(name)
	if space != "" && space != "public" {
		t.whole = part(space) + "." + part(name)
	}
	if t.bare != "" {
		t.bare = part(name)
	}
	return t, nil
}

// part writes a part of a table's name: in quotes where it holds a dot or a quote.
func part(s string) string {
	if strings.ContainsAny(s, `."`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// images reads the row before and after.
func (c change) images(e *event) error {
	for _, side := range []struct {
		name   string
		to     *[]parallax.Column
		absent *[]string
		needed bool
	}{
		{"before", &e.before, new([]string), false},
		{"after", &e.after, &e.absent, e.op != "d"},
	} {
		if c.data.get(side.name) == nil {
			if side.needed {
				return c.data.fault(side.name, "is missing")
			}
			continue
		}
		image, err := c.data.object(side.name)
		if err != nil {
			return err
		}
		if *side.to, *side.absent, err = columns(image, c.schema.field(side.name)); err != nil {
			return err
		}
	}
	if e.op == "d" {
		e.after = nil
		e.keyOnly = c.source.has("lsn")
	}
	return nil
}

// message reads a logical message of PostgreSQL. Those of others say nothing to us.
func (c change) message(e event) (event, error) {
	m, err := c.data.object("message")
	if err != nil {
		return e, err
	}
	prefix, err := m.text("prefix")
	if err != nil {
		return e, err
	}
	content, err := m.text("content")
	if err != nil {
		return e, err
	}
	e.kind = message
	if prefix == "parallax" {
		e.tag = plainTag(content)
	}
	return e, nil
}

// plainTag returns a message's content, which comes in base64 as binary.handling.mode
// says (bytes, base64 or base64-url-safe); empty if that is no text.
func plainTag(content string) string {
	b, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		b, err = base64.URLEncoding.DecodeString(content)
	}
	if err != nil || len(b) > maxTag || !utf8.Valid(b) {
		return ""
	}
	return string(b)
}
