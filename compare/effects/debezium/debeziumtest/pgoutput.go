package debeziumtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// message is one message of pgoutput, version 1.
type message struct {
	kind     byte // B, C, R, I, U, D, T, M, as pgoutput calls them
	xid      uint32
	at       time.Time
	relation *relation
	ids      []uint32 // of relations: one, or all that a truncation names
	oldKind  byte     // K or O; 0 where there is no old tuple
	old, new []datum

	transactional   bool
	prefix, content string
}

// relation is a table as pgoutput describes it.
type relation struct {
	id           uint32
	schema, name string
	columns      []column
}

type column struct {
	name     string
	oid      uint32
	modifier int32

	// The catalogue says so, not pgoutput.
	key, required, enum bool
}

// datum is one column of a tuple: n is NULL, u unchanged and not told, t a text.
type datum struct {
	kind byte
	text string
}

// reading takes a message apart. What it is fed is a server's: it panics where that is
// not so.
type reading struct{ rest []byte }

func (r *reading) take(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reading) byte() byte     { return r.take(1)[0] }
func (r *reading) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reading) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reading) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reading) text() string {
	end := bytes.IndexByte(r.rest, 0)
	s := string(r.take(end))
	r.take(1)
	return s
}

func (r *reading) time() time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.uint64()) * time.Microsecond)
}

func (r *reading) tuple() []datum {
	out := make([]datum, r.uint16())
	for i := range out {
		if out[i].kind = r.byte(); out[i].kind == 't' {
			out[i].text = string(r.take(int(r.uint32())))
		}
	}
	return out
}

func decode(data []byte) (m message) {
	r := &reading{data[1:]}
	switch m.kind = data[0]; m.kind {
	case 'B':
		r.uint64()
		m.at, m.xid = r.time(), r.uint32()
	case 'C':
		r.byte()
		r.uint64()
		r.uint64()
		m.at = r.time()
	case 'R':
		m.relation = &relation{id: r.uint32(), schema: r.text(), name: r.text()}
		r.byte()
		for range r.uint16() {
			r.byte()
			m.relation.columns = append(m.relation.columns, column{name: r.text(), oid: r.uint32(), modifier: int32(r.uint32())})
		}
	case 'I', 'U', 'D':
		m.ids = []uint32{r.uint32()}
		kind := r.byte()
		if kind != 'N' {
			m.oldKind, m.old = kind, r.tuple()
		}
		if m.kind == 'U' && kind != 'N' {
			r.byte()
		}
		if m.kind != 'D' {
			m.new = r.tuple()
		}
	case 'T':
		n := r.uint32()
		r.byte()
		for range n {
			m.ids = append(m.ids, r.uint32())
		}
	case 'M':
		m.transactional = r.byte() == 1
		r.uint64()
		m.prefix = r.text()
		m.content = string(r.take(int(r.uint32())))
	case 'O', 'Y': // an origin, a type
	default:
		panic(fmt.Sprintf("pgoutput sent %q", m.kind))
	}
	return m
}
