package debezium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
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
	e.kind, e.tx = end, transactionID(e.tx)
	return e, nil
}
