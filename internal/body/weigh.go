package body

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// weigher counts the values of a message before it is read, so that reading it
// takes bounded memory.
type weigher struct {
	left   int
	schema *Schema
}

func (w *weigher) take(n int) error {
	if w.left -= n; w.left < 0 {
		return errHeavy
	}
	return nil
}

func (w *weigher) message(d protoreflect.MessageDescriptor, data []byte, depth int) error {
	if depth > maxMessageDepth {
		return errDeep
	}
	if err := w.take(messageWeight); err != nil {
		return err
	}
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errWire
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return errWire
		}
		if err := w.field(w.fieldOf(d, number), kind, data[:n], depth); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (w *weigher) fieldOf(d protoreflect.MessageDescriptor, number protowire.Number) protoreflect.FieldDescriptor {
	if f := d.Fields().ByNumber(number); f != nil {
		return f
	}
	if d.ExtensionRanges().Has(number) {
		if x, err := w.schema.types.FindExtensionByNumber(d.FullName(), number); err == nil {
			return x.TypeDescriptor()
		}
	}
	return nil
}

func (w *weigher) field(f protoreflect.FieldDescriptor, kind protowire.Type, value []byte, depth int) error {
	if err := w.take(1); err != nil || f == nil {
		return err
	}
	switch {
	case kind == protowire.StartGroupType && f.Message() != nil:
		return w.message(f.Message(), value[:groupLen(f.Number(), value)], depth+1)
	case kind != protowire.BytesType:
		return nil
	}
	inside, _ := protowire.ConsumeBytes(value)
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return w.message(f.Message(), inside, depth+1)
	case protoreflect.StringKind, protoreflect.BytesKind:
		return nil
	}
	return w.take(len(inside)) // Packed numbers take a byte each, or more.
}

// groupLen returns how long the inside of a group is whose end marker stands at the
// end of value.
func groupLen(number protowire.Number, value []byte) int {
	return max(0, len(value)-protowire.SizeTag(number))
}
