package debezium

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"parallax"
)

// maxSink bounds the name of what something was sent to, in bytes.
const maxSink = 200

// plainEvent reads the envelope of something that was sent to the outside:
//
//	{"exchange": "0193..", "sink": "mail", "op": "send", "key": "ann@example.org", "value": {"subject": "Hello"}}
//
// Exchange is the id from X-Parallax-Exchange, or a traceparent. Op is a word, emit if it
// is not there; key and value are any JSON, and may be missing. With an id the same is
// taken once however often it is sent; without, two that are alike are two.
func plainEvent(o object) (e event, err error) {
	if !o.only("id", "exchange", "sink", "op", "key", "value", "at") {
		return e, o.fault("", "has members besides id, exchange, sink, op, key, value and at")
	}
	read := func(name string, into *string, longest int) {
		if err != nil {
			return
		}
		if *into, err = o.text(name); err == nil && (len(*into) > longest || strings.ContainsRune(*into, 0)) {
			err = o.fault(name, "is too long, or holds a zero byte")
		}
	}
	var id, op, at string
	read("exchange", &e.tag, maxTag)
	read("sink", &e.table.whole, maxSink)
	read("op", &op, 64)
	read("id", &id, maxTag)
	read("at", &at, 64)
	switch {
	case err != nil:
		return e, err
	case e.table.whole == "":
		return e, o.fault("sink", "is empty: name what it was sent to, such as mail or kafka:orders")
	case e.tag != "" && !isTag(e.tag):
		return e, o.fault("exchange", "is neither an exchange's id nor a traceparent")
	}
	if at != "" {
		if e.at, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return e, o.fault("at", "is not a time in RFC 3339")
		}
	}
	if op == "" {
		op = string(parallax.Emit)
	}
	e.kind = emitted
	e.after = []parallax.Column{{Name: "op", Value: &op}}
	for _, name := range []string{"key", "value"} {
		if raw := o.get(name); raw != nil {
			e.after = append(e.after, document(name, raw))
		}
	}
	if id != "" {
		sum := sha256.Sum256([]byte(e.table.whole + "\x00" + id))
		e.mark = [16]byte(sum[:16])
	}
	return e, nil
}

// document returns a column by its JSON type; objects and arrays are documents.
func document(name string, raw json.RawMessage) parallax.Column {
	c := parallax.Column{Name: name, Type: bareType(raw)}
	if c.Type == parallax.ArrayColumn {
		c.Type = parallax.JSONColumn
	}
	text := string(raw)
	switch c.Type {
	case parallax.TextColumn:
		_ = json.Unmarshal(raw, &text) // it was read as JSON before
	case parallax.BoolColumn:
		text = text[:1]
	}
	c.Value = &text
	return c
}

// isTag reports whether a text names an exchange: its id, perhaps with a leg behind it,
// or a traceparent.
func isTag(s string) bool {
	id, _, _ := strings.Cut(s, "/")
	_, err := parallax.ParseID(id)
	return (err == nil || isTraceparent(s)) && utf8.ValidString(s)
}
