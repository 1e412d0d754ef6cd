package debezium

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"parallax"
)

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
		return transactionID(id), err
	}
	if raw := c.source.get("txId"); raw != nil {
		return numbered + string(bytes.Trim(raw, `"`)), nil
	}
	if id, err := c.source.text("gtid"); id != "" || err != nil {
		return id, err
	}
	if p.file == "" && p.pos == 0 {
		return "", nil
	}
	return fmt.Sprintf("%s:%d", p.file, p.pos), nil
}

// numbered is put before a transaction's number.
const numbered = "tx "

// transactionID returns what events of one transaction have in common of its id. Of
// PostgreSQL that is its number alone: behind it stands the position of the operation,
// which is another one at the transaction's end, and messages have the number only.
func transactionID(id string) string {
	number, position, ok := strings.Cut(id, ":")
	if ok && isDigits(number) && isDigits(position) {
		return numbered + number
	}
	return id
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

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

// plainTag returns a message's content, which is written as binary.handling.mode says
// (bytes, base64, base64-url-safe or hex): what makes a tag, else what makes a text; empty
// if nothing does.
func plainTag(content string) (tag string) {
	for _, decode := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, base64.URLEncoding.DecodeString, hex.DecodeString} {
		b, err := decode(content)
		switch {
		case err != nil || len(b) > maxTag || !utf8.Valid(b):
		case isTag(string(b)):
			return string(b)
		case tag == "":
			tag = string(b)
		}
	}
	return tag
}
