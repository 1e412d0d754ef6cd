package parallax

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// CodecVersion is the first byte of an encoded exchange. Every version that was
// ever released has a golden file in testdata.
const CodecVersion = 4

// Earlier versions are still read.
const (
	firstCodec = 1
	unmapped   = 2 // the first one with [Exchange.Unmapped]
	safe       = 3 // the first one with [Exchange.Safe]
	effects    = 4 // the first one with all of [Effect], [Call.Unread] and [Exchange.Lag]
)

// ErrCodecVersion is returned for an exchange that was encoded by a version this
// one cannot read; such an exchange is lost with the reason codec.
var ErrCodecVersion = errors.New("unknown version of the exchange encoding")

var errCodecShort = errors.New("cannot decode exchange: it ends early or a length in it is wrong")

// AppendExchange appends the encoding of x to dst: the version byte, then the
// fields in the order of their declaration, integers as varints, strings and
// lists behind their length. Requests that legs share are written once.
func AppendExchange(dst []byte, x *Exchange) []byte {
	e := encoder{append(dst, CodecVersion)}
	e.raw(x.ID[:])
	e.text(x.Service)
	e.text(x.Endpoint)
	e.uint(uint64(x.Source))
	e.raw(x.User[:])
	e.int(x.Received.UnixNano())
	e.uint(uint64(x.Live))
	e.flag(x.Concurrent)
	e.flag(x.Covered)
	e.flag(x.Safe)
	e.uint(uint64(len(x.Unmapped)))
	for _, name := range x.Unmapped {
		e.text(name)
	}
	e.text(x.Lag)
	for i, call := range x.Legs {
		e.flag(call != nil)
		if call != nil {
			e.call(call, x.Legs[:i])
		}
	}
	return e.b
}

// DecodeExchange reads what AppendExchange wrote. The exchange shares no memory
// with data. The error is [ErrCodecVersion], or says that data is damaged; no
// input makes it panic or take memory beyond a small multiple of its length.
func DecodeExchange(data []byte) (*Exchange, error) {
	if len(data) == 0 {
		return nil, errCodecShort
	}
	if data[0] < firstCodec || data[0] > CodecVersion {
		return nil, fmt.Errorf("cannot decode exchange: version %d: %w", data[0], ErrCodecVersion)
	}
	d := decoder{version: data[0], b: data[1:]}
	x := &Exchange{}
	d.raw(x.ID[:])
	x.Service = d.text()
	x.Endpoint = d.text()
	x.Source = Source(d.uint())
	d.raw(x.User[:])
	x.Received = time.Unix(0, d.int()).UTC()
	x.Live = Leg(d.uint())
	x.Concurrent = d.flag()
	x.Covered = d.flag()
	if d.version >= safe {
		x.Safe = d.flag()
	}
	if d.version >= unmapped {
		x.Unmapped = d.texts()
	}
	if d.version >= effects {
		x.Lag = d.text()
	}
	for i := range x.Legs {
		if d.flag() {
			x.Legs[i] = d.call(x.Legs[:i])
		}
	}
	if d.bad || len(d.b) > 0 || x.Live >= Legs {
		return nil, errCodecShort
	}
	return x, nil
}

type encoder struct{ b []byte }

func (e *encoder) raw(p []byte)  { e.b = append(e.b, p...) }
func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) flag(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) text(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(p []byte) {
	e.uint(uint64(len(p)))
	e.raw(p)
}

func (e *encoder) fields(fields []Field) {
	e.uint(uint64(len(fields)))
	for _, f := range fields {
		e.text(f.Name)
		e.text(f.Value)
	}
}

func (e *encoder) body(b *Body) {
	e.bytes(b.Bytes)
	e.int(b.Size)
	e.raw(b.SHA256[:])
	e.flag(b.Cut)
}

// call writes the request body as a reference where an earlier leg was sent the
// very same bytes, which is nearly always so.
func (e *encoder) call(c *Call, earlier []*Call) {
	r := &c.Request
	e.text(r.Method)
	e.text(r.Target)
	e.text(r.Host)
	e.text(r.Proto)
	e.fields(r.Headers)
	shared := sharedBody(&r.Body, earlier)
	e.uint(uint64(shared))
	if shared == 0 {
		e.body(&r.Body)
	}
	e.fields(r.Trailers)
	e.int(int64(c.Response.Status))
	e.fields(c.Response.Headers)
	e.body(&c.Response.Body)
	e.fields(c.Response.Trailers)
	e.uint(uint64(c.Err.Kind))
	e.text(c.Err.Text)
	e.int(int64(c.Start))
	e.int(int64(c.First))
	e.int(int64(c.Done))
	e.text(c.Version)
	e.uint(uint64(len(c.Effects)))
	for i := range c.Effects {
		e.effect(&c.Effects[i])
	}
	e.text(c.Unread)
}

// sharedBody returns 1 + the index of the earlier leg that has this very body,
// or 0.
func sharedBody(b *Body, earlier []*Call) int {
	for i, c := range earlier {
		if c == nil || c.Request.Body.Size != b.Size || c.Request.Body.SHA256 != b.SHA256 || c.Request.Body.Cut != b.Cut {
			continue
		}
		if p := c.Request.Body.Bytes; len(p) == len(b.Bytes) && (len(p) == 0 || &p[0] == &b.Bytes[0]) {
			return i + 1
		}
	}
	return 0
}

func (e *encoder) effect(f *Effect) {
	e.text(f.Table)
	e.text(string(f.Op))
	e.columns(f.Before)
	e.columns(f.After)
	e.text(string(f.Correlation))
	e.int(f.At.UnixNano())
	e.columns(f.Key)
	e.uint(f.Position)
	e.flag(f.Late)
}

func (e *encoder) columns(columns []Column) {
	e.uint(uint64(len(columns)))
	for _, c := range columns {
		e.text(c.Name)
		e.uint(uint64(c.Type))
		e.flag(c.Value != nil)
		if c.Value != nil {
			e.text(*c.Value)
		}
		e.flag(c.Made)
		e.text(c.Ref)
	}
}

// A decoder goes on after damage and returns zero values, so that the code that
// uses it reads like the layout; bad says so at the end.
type decoder struct {
	version byte
	b       []byte
	bad     bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) raw(p []byte) { copy(p, d.take(uint64(len(p)))) }

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) flag() bool {
	p := d.take(1)
	if len(p) == 1 && p[0] > 1 {
		d.bad = true
	}
	return len(p) == 1 && p[0] == 1
}

func (d *decoder) text() string { return string(d.take(d.uint())) }

func (d *decoder) bytes() []byte {
	p := d.take(d.uint())
	if len(p) == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}

// count reads the length of a list whose elements take at least size bytes each,
// so that a damaged length cannot ask for memory that the input does not back.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) texts() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	texts := make([]string, n)
	for i := range texts {
		texts[i] = d.text()
	}
	return texts
}

func (d *decoder) fields() []Field {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	fields := make([]Field, n)
	for i := range fields {
		fields[i] = Field{d.text(), d.text()}
	}
	return fields
}

func (d *decoder) body() Body {
	var b Body
	b.Bytes = d.bytes()
	b.Size = d.int()
	d.raw(b.SHA256[:])
	b.Cut = d.flag()
	return b
}

func (d *decoder) call(earlier []*Call) *Call {
	c := &Call{}
	c.Request.Method = d.text()
	c.Request.Target = d.text()
	c.Request.Host = d.text()
	c.Request.Proto = d.text()
	c.Request.Headers = d.fields()
	c.Request.Body = d.sharedBody(earlier)
	c.Request.Trailers = d.fields()
	c.Response.Status = int(d.int())
	c.Response.Headers = d.fields()
	c.Response.Body = d.body()
	c.Response.Trailers = d.fields()
	c.Err.Kind = ErrKind(d.uint())
	c.Err.Text = d.text()
	c.Start = time.Duration(d.int())
	c.First = time.Duration(d.int())
	c.Done = time.Duration(d.int())
	c.Version = d.text()
	if n := d.count(6); n > 0 {
		c.Effects = make([]Effect, n)
		for i := range c.Effects {
			c.Effects[i] = d.effect()
		}
	}
	if d.version >= effects {
		c.Unread = d.text()
	}
	return c
}

func (d *decoder) sharedBody(earlier []*Call) Body {
	shared := d.uint()
	if shared == 0 {
		return d.body()
	}
	if shared > uint64(len(earlier)) || earlier[shared-1] == nil {
		d.bad = true
		return Body{}
	}
	return earlier[shared-1].Request.Body
}

func (d *decoder) effect() Effect {
	var f Effect
	f.Table = d.text()
	f.Op = Op(d.text())
	f.Before = d.columns()
	f.After = d.columns()
	f.Correlation = Correlation(d.text())
	f.At = time.Unix(0, d.int()).UTC()
	if d.version >= effects {
		f.Key = d.columns()
		f.Position = d.uint()
		f.Late = d.flag()
	}
	return f
}

func (d *decoder) columnType() ColumnType {
	n := d.uint()
	if n > uint64(Unchanged) {
		d.bad = true
		return TextColumn
	}
	return ColumnType(n)
}

func (d *decoder) columns() []Column {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	columns := make([]Column, n)
	for i := range columns {
		columns[i].Name = d.text()
		if d.version >= effects {
			columns[i].Type = d.columnType()
		}
		if d.flag() {
			value := d.text()
			columns[i].Value = &value
		}
		if d.version >= effects {
			columns[i].Made = d.flag()
			columns[i].Ref = d.text()
		}
	}
	return columns
}
