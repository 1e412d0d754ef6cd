package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"parallax/compare/effects"
)

// What pgoutput sends, protocol version 1, as PostgreSQL's manual describes it under
// "Logical Replication Message Formats". Nothing is kept of the bytes a message was
// parsed from but what a doc comment says.

type begin struct {
	at  time.Time
	xid uint32
}

type commit struct {
	end effects.Position // of the commit's record
}

// relation describes a table; it comes before the first row of it, and again when
// the table was altered.
type relation struct {
	id           uint32
	schema, name string
	identity     byte // d: primary key, i: an index, f: all columns, n: none
	columns      []column
}

type column struct {
	name string
	oid  uint32
	key  bool // belongs to the replica identity
}

// row is a change of one row. Tuples are slices of the message.
type row struct {
	relation uint32
	kind     byte // I, U or D
	oldKind  byte // K: only key columns are known, O: all, 0: there is no old tuple
	old, new []byte
}

type truncate struct{ relations []uint32 }

// message is what pg_logical_emit_message wrote. Content is a slice of the message.
type message struct {
	transactional bool
	prefix        string
	content       []byte
}

// skipped is a message that says nothing of rows: a type's name, an origin.
type skipped struct{}

var errShort = errors.New("the message ends early")

// maxColumns is more than a table of PostgreSQL can have (1 600).
const maxColumns = 2000

// maxName is longer than a name of PostgreSQL can be (63 bytes; another build may
// allow more).
const maxName = 1024

// parseMessage reads one message. It never panics, whatever the bytes are.
func parseMessage(data []byte) (any, error) {
	if len(data) == 0 {
		return nil, errShort
	}
	c := cursor{rest: data[1:]}
	var out any
	switch data[0] {
	case 'B':
		c.skip(8) // the position of the commit, which comes again with it
		out = begin{at: c.time(), xid: c.uint32()}
	case 'C':
		c.skip(1 + 8)
		out = commit{end: effects.Position(c.uint64())}
		c.skip(8)
	case 'R':
		out = c.relation()
	case 'I', 'U', 'D':
		out = c.row(data[0])
	case 'T':
		out = c.truncate()
	case 'M':
		out = c.message()
	case 'Y', 'O':
		return skipped{}, nil
	default:
		return nil, fmt.Errorf("a message of the unknown kind %q", data[0])
	}
	if c.err != nil {
		return nil, fmt.Errorf("cannot read a message of kind %c: %w", data[0], c.err)
	}
	return out, nil
}

func (c *cursor) relation() *relation {
	r := &relation{id: c.uint32(), schema: c.text(), name: c.text(), identity: c.byte()}
	n := int(c.uint16())
	if n > maxColumns {
		c.fail(fmt.Errorf("%d columns", n))
		return nil
	}
	if r.schema == "" {
		r.schema = "pg_catalog"
	}
	r.columns = make([]column, n)
	for i := range r.columns {
		key := c.byte()&1 != 0
		r.columns[i] = column{key: key, name: c.text(), oid: c.uint32()}
		c.skip(4) // the type's modifier
	}
	return r
}

func (c *cursor) row(kind byte) row {
	r := row{relation: c.uint32(), kind: kind}
	mark := c.byte()
	if kind != 'I' && (mark == 'K' || mark == 'O') {
		r.oldKind, r.old = mark, c.tuple()
		if kind == 'D' {
			return r
		}
		mark = c.byte()
	}
	if kind == 'D' || mark != 'N' {
		c.fail(fmt.Errorf("the unknown part %q", mark))
		return r
	}
	r.new = c.tuple()
	return r
}

func (c *cursor) truncate() truncate {
	n := int(c.uint32())
	c.skip(1)
	if n < 0 || n > len(c.rest)/4 {
		c.fail(errShort)
		return truncate{}
	}
	t := truncate{relations: make([]uint32, n)}
	for i := range t.relations {
		t.relations[i] = c.uint32()
	}
	return t
}

func (c *cursor) message() message {
	m := message{transactional: c.byte()&1 != 0}
	c.skip(8) // its position
	m.prefix = c.text()
	m.content = c.bytes(int(c.uint32()))
	return m
}

// cursor reads a message from its beginning. After its first error everything it
// reads is zero.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.rest = nil
}

// bytes returns the next n bytes, a slice of the message.
func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.fail(errShort)
		return nil
	}
	out := c.rest[:n:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) skip(n int) { c.bytes(n) }

func (c *cursor) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// time reads a time as PostgreSQL writes it: microseconds since 2000.
func (c *cursor) time() time.Time { return postgresTime(int64(c.uint64())) }

// text reads a name that a zero byte ends.
func (c *cursor) text() string {
	for i, b := range c.rest {
		if b == 0 && i <= maxName {
			out := string(c.rest[:i])
			c.rest = c.rest[i+1:]
			return out
		}
		if i > maxName {
			c.fail(errors.New("a name without an end"))
			return ""
		}
	}
	c.fail(errShort)
	return ""
}

// tuple returns the bytes of a tuple, which it checks: what reads them later finds
// as many columns as they say.
func (c *cursor) tuple() []byte {
	start := c.rest
	for n := int(c.uint16()); n > 0 && c.err == nil; n-- {
		switch kind := c.byte(); kind {
		case 'n', 'u':
		case 't':
			c.skip(int(c.uint32()))
		default:
			c.fail(fmt.Errorf("a column of the unknown kind %q", kind))
		}
	}
	if c.err != nil {
		return nil
	}
	return start[:len(start)-len(c.rest)]
}

const unixTo2000 = 946_684_800 // seconds

func postgresTime(micros int64) time.Time {
	return time.UnixMicro(micros).Add(unixTo2000 * time.Second).UTC()
}
