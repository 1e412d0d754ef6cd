package body

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Bounds of messages.
const (
	maxMessageDepth = 100 // levels of messages, as protobuf's own libraries have it
	messageWeight   = 16  // a message counts as so many values: it takes more memory
)

// ParseProtobuf reads one message as the tree of a JSON document:
//
//	{"id": 17, "state": "PAID", "items": [{"sku": "a"}], "photo": "AAE=", "#9": [1]}
//
// Members are named as in the .proto file, extensions as [shop.v1.gift]. Fields
// without presence are always there, those with presence if they are set. Integers
// of any width and floating-point numbers are numbers, of these NaN and the
// infinities strings; bytes are strings in Base64; values of enums are their names,
// or numbers where the schema has no name. Maps are objects. A
// google.protobuf.Timestamp is a string as RFC 3339 has it, an Any whose type is
// known has the members type_url and value, which is the message inside; other
// well-known types are messages like any other.
//
// Fields that the schema does not know are kept under #NUMBER, as arrays: of
// numbers for varints, of {"fixed32": n} and {"fixed64": n}, of {"group": Base64},
// and of strings for bytes: the text if it is text, otherwise "base64:" and the
// bytes.
//
// At most limits.Nodes values are read, of which a message counts as sixteen, and
// the document takes at most limit bytes.
func ParseProtobuf(m *Message, source []byte, limits Limits, limit int) (*Tree, error) {
	out, err := messageText(nil, m, source, limits, limit)
	if err != nil {
		return nil, err
	}
	return ParseJSON(out, limits)
}

// messageText appends a message as JSON.
func messageText(out []byte, m *Message, source []byte, limits Limits, limit int) ([]byte, error) {
	w := messageWriter{out: out, limit: limit, weigher: weigher{left: limits.Nodes, schema: m.schema}}
	if err := w.read(m.is, source, 0); err != nil {
		return nil, fmt.Errorf("not a %s: %w", m.is.FullName(), err)
	}
	return w.out, nil
}

var (
	errWire     = errors.New("the bytes are no fields of protobuf")
	errHeavy    = errors.New("more values than are read")
	errDeep     = fmt.Errorf("messages are nested more than %d deep", maxMessageDepth)
	errLongText = errors.New("as text the message is larger than is allowed")
)

// messageWriter writes messages as JSON.
type messageWriter struct {
	weigher
	out   []byte
	limit int // of out, in bytes
}

// read reads a message and writes it.
func (w *messageWriter) read(d protoreflect.MessageDescriptor, source []byte, depth int) error {
	if err := w.weigher.message(d, source, depth); err != nil {
		return err
	}
	m := dynamicpb.NewMessage(d)
	if err := w.unmarshal(source, m); err != nil {
		return errors.New(strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:")))
	}
	return w.message(m, depth)
}

// unmarshal reads a message. What the library panics over is an error: a map whose
// entry has its key twice, the second time as another type, makes protobuf 1.36.12 do so.
func (w *messageWriter) unmarshal(source []byte, m proto.Message) (err error) {
	defer func() {
		if recover() != nil {
			err = errWire
		}
	}()
	options := proto.UnmarshalOptions{AllowPartial: true, Resolver: w.schema.types, RecursionLimit: maxMessageDepth + 1}
	return options.Unmarshal(source, m)
}

func (w *messageWriter) message(m protoreflect.Message, depth int) error {
	d := m.Descriptor()
	if depth > maxMessageDepth {
		return errDeep
	}
	if len(w.out) > w.limit {
		return errLongText
	}
	if d.FullName() == "google.protobuf.Timestamp" && w.timestamp(m) {
		return nil
	}
	o := objectWriter{w: w, anyURL: anyURL(m)}
	w.out = append(w.out, '{')
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); !f.HasPresence() || m.Has(f) {
			if err := o.field(string(f.Name()), f, m.Get(f), depth); err != nil {
				return err
			}
		}
	}
	if err := o.extensions(m, depth); err != nil {
		return err
	}
	if err := o.unknown(m.GetUnknown()); err != nil {
		return err
	}
	w.out = append(w.out, '}')
	return nil
}

// timestamp writes a point in time; false if it is none that RFC 3339 can hold.
func (w *messageWriter) timestamp(m protoreflect.Message) bool {
	seconds, nanos := m.Descriptor().Fields().ByNumber(1), m.Descriptor().Fields().ByNumber(2)
	if len(m.GetUnknown()) > 0 || seconds == nil || nanos == nil || seconds.Kind() != protoreflect.Int64Kind || nanos.Kind() != protoreflect.Int32Kind ||
		seconds.IsList() || nanos.IsList() {
		return false
	}
	s, n := m.Get(seconds).Int(), m.Get(nanos).Int()
	if s < -62135596800 || s > 253402300799 || n < 0 || n > 999_999_999 {
		return false
	}
	w.out = append(w.out, '"')
	w.out = time.Unix(s, n).UTC().AppendFormat(w.out, time.RFC3339Nano)
	w.out = append(w.out, '"')
	return true
}

// anyURL returns the address of the type in a google.protobuf.Any, "" for other
// messages.
func anyURL(m protoreflect.Message) string {
	d := m.Descriptor()
	url := d.Fields().ByName("type_url")
	if d.FullName() != "google.protobuf.Any" || url == nil || url.Kind() != protoreflect.StringKind || url.IsList() {
		return ""
	}
	return m.Get(url).String()
}

// objectWriter writes the members of one message.
type objectWriter struct {
	w      *messageWriter
	anyURL string // of an Any: what its value is
	some   bool   // a member is written
}

func (o *objectWriter) name(name string) {
	if o.some {
		o.w.out = append(o.w.out, ',')
	}
	o.some = true
	o.w.out = append(AppendQuoted(o.w.out, name), ':')
}

func (o *objectWriter) field(name string, f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	o.name(name)
	if o.anyURL != "" && name == "value" && f.Kind() == protoreflect.BytesKind && !f.IsList() && o.inside(v.Bytes(), depth) {
		return nil
	}
	switch {
	case f.IsMap():
		return o.w.mapping(f, v.Map(), depth)
	case f.IsList():
		return o.w.list(f, v.List(), depth)
	}
	return o.w.value(f, v, depth)
}

// inside writes the message in an Any; false if it cannot be read, and then nothing
// is written.
func (o *objectWriter) inside(value []byte, depth int) bool {
	name := o.anyURL[strings.LastIndexByte(o.anyURL, '/')+1:]
	m := o.w.schema.Message(name)
	before := len(o.w.out)
	if m == nil || o.w.read(m.is, value, depth+1) != nil {
		o.w.out = o.w.out[:before]
		return false
	}
	return true
}

// extensions writes the extensions that are set, by number.
func (o *objectWriter) extensions(m protoreflect.Message, depth int) error {
	var set []protoreflect.FieldDescriptor
	if m.Descriptor().ExtensionRanges().Len() > 0 {
		m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if f.IsExtension() {
				set = append(set, f)
			}
			return true
		})
	}
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number()) - int(b.Number()) })
	for _, f := range set {
		if err := o.field("["+string(f.FullName())+"]", f, m.Get(f), depth); err != nil {
			return err
		}
	}
	return nil
}

// unknown writes the fields that the schema does not know.
func (o *objectWriter) unknown(raw []byte) error {
	byNumber := map[protowire.Number][]byte{}
	var numbers []protowire.Number
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return errWire
		}
		raw = raw[n:]
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return errWire
		}
		if _, known := byNumber[number]; !known {
			numbers = append(numbers, number)
		} else {
			byNumber[number] = append(byNumber[number], ',')
		}
		byNumber[number] = appendWire(byNumber[number], number, kind, raw[:n])
		raw = raw[n:]
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		o.name("#" + strconv.Itoa(int(number)))
		o.w.out = append(append(append(o.w.out, '['), byNumber[number]...), ']')
	}
	return nil
}

// appendWire writes a value of which only its form on the wire is known.
func appendWire(out []byte, number protowire.Number, kind protowire.Type, value []byte) []byte {
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		return strconv.AppendUint(out, v, 10)
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		return fmt.Appendf(out, `{"fixed32":%d}`, v)
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		return fmt.Appendf(out, `{"fixed64":%d}`, v)
	case protowire.StartGroupType:
		return fmt.Appendf(out, `{"group":"%s"}`, base64.StdEncoding.EncodeToString(value[:groupLen(number, value)]))
	}
	inside, _ := protowire.ConsumeBytes(value)
	if !isPlainText(inside) {
		return fmt.Appendf(out, `"%s%s"`, inBase64, base64.StdEncoding.EncodeToString(inside))
	}
	return AppendQuoted(out, string(inside))
}

// inBase64 comes before bytes that are no text.
const inBase64 = "base64:"

// isPlainText reports whether bytes are text that people write: UTF-8 without
// control characters other than blanks and line ends.
func isPlainText(text []byte) bool {
	if !utf8.Valid(text) || strings.HasPrefix(string(text[:min(len(text), len(inBase64))]), inBase64) {
		return false
	}
	for _, c := range text {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

func (w *messageWriter) list(f protoreflect.FieldDescriptor, list protoreflect.List, depth int) error {
	w.out = append(w.out, '[')
	for i := range list.Len() {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.value(f, list.Get(i), depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *messageWriter) mapping(f protoreflect.FieldDescriptor, m protoreflect.Map, depth int) (err error) {
	var keys []protoreflect.MapKey
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	w.out = append(w.out, '{')
	for i, key := range keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(AppendQuoted(w.out, key.String()), ':')
		if err := w.value(f.MapValue(), m.Get(key), depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// value writes a single value.
func (w *messageWriter) value(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return w.message(v.Message(), depth+1)
	case protoreflect.BoolKind:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case protoreflect.EnumKind:
		w.enum(f.Enum(), v.Enum())
	case protoreflect.StringKind:
		w.out = AppendQuoted(w.out, v.String())
	case protoreflect.BytesKind:
		w.out = append(w.out, '"')
		w.out = base64.StdEncoding.AppendEncode(w.out, v.Bytes())
		w.out = append(w.out, '"')
	case protoreflect.FloatKind:
		w.out = appendFloat(w.out, v.Float(), 32)
	case protoreflect.DoubleKind:
		w.out = appendFloat(w.out, v.Float(), 64)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		w.out = strconv.AppendUint(w.out, v.Uint(), 10)
	default:
		w.out = strconv.AppendInt(w.out, v.Int(), 10)
	}
	if len(w.out) > w.limit {
		return errLongText
	}
	return nil
}

func (w *messageWriter) enum(d protoreflect.EnumDescriptor, number protoreflect.EnumNumber) {
	if value := d.Values().ByNumber(number); value != nil {
		w.out = AppendQuoted(w.out, string(value.Name()))
		return
	}
	w.out = strconv.AppendInt(w.out, int64(number), 10)
}

// appendFloat writes a number in the fewest digits that stand for it alone.
func appendFloat(out []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(out, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(out, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(out, `"-Infinity"`...)
	}
	return strconv.AppendFloat(out, f, 'g', -1, bits)
}
