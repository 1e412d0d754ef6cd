package body

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// shopFile is what a compiler makes of a file of orders.
const shopFile = `
name: "shop.proto" package: "shop" syntax: "proto3"
dependency: "google/protobuf/timestamp.proto" dependency: "google/protobuf/any.proto"
message_type {
  name: "Order"
  field { name: "id" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "state" number: 2 type: TYPE_ENUM type_name: ".shop.State" label: LABEL_OPTIONAL }
  field { name: "items" number: 3 type: TYPE_MESSAGE type_name: ".shop.Item" label: LABEL_REPEATED }
  field { name: "counts" number: 4 type: TYPE_INT32 label: LABEL_REPEATED }
  field { name: "labels" number: 5 type: TYPE_MESSAGE type_name: ".shop.Order.LabelsEntry" label: LABEL_REPEATED }
  field { name: "photo" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "rate" number: 7 type: TYPE_FLOAT label: LABEL_OPTIONAL }
  field { name: "weight" number: 8 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "at" number: 9 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "extra" number: 10 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
  field { name: "card" number: 11 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "cash" number: 12 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
  oneof_decl { name: "paid_by" }
  field { name: "next" number: 13 type: TYPE_MESSAGE type_name: ".shop.Order" label: LABEL_OPTIONAL }
  nested_type {
    name: "LabelsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  }
}
message_type {
  name: "Item"
  field { name: "sku" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
}
enum_type { name: "State" value { name: "NEW" number: 0 } value { name: "PAID" number: 1 } }
service {
  name: "Orders"
  method { name: "Get" input_type: ".shop.Item" output_type: ".shop.Order" }
  method { name: "Watch" input_type: ".shop.Item" output_type: ".shop.Order" server_streaming: true }
}`

// shopSet returns a descriptor set with the file of orders.
func shopSet(t testing.TB) []byte {
	t.Helper()
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(shopFile), file); err != nil {
		t.Fatal(err)
	}
	set, err := proto.MarshalOptions{Deterministic: true}.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto),
		protodesc.ToFileDescriptorProto(anypb.File_google_protobuf_any_proto), file,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func shopSchema(t testing.TB) *Schema {
	t.Helper()
	s, err := ParseSchema(shopSet(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// encoded returns a message that is written as text.
func encoded(t testing.TB, m *Message, text string) []byte {
	t.Helper()
	d := dynamicpb.NewMessage(m.is)
	if err := (prototext.UnmarshalOptions{Resolver: m.schema.types}).Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	out, err := proto.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const emptyOrder = `"id":0,"state":"NEW","items":[],"counts":[],"labels":{},"photo":"","rate":0,"weight":0`

func TestParseProtobuf(t *testing.T) {
	t.Parallel()
	order := shopSchema(t).Message("shop.Order")
	f := func(text, want string) {
		t.Helper()
		tree, err := ParseProtobuf(order, encoded(t, order, text), DefaultLimits, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("{"+want+"}", string(tree.Source)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
	}
	f(``, emptyOrder)
	f(`id: 9007199254740993 state: PAID`, strings.NewReplacer(`"id":0`, `"id":9007199254740993`, `NEW`, `PAID`).Replace(emptyOrder))
	f(`state: 7`, strings.Replace(emptyOrder, `"NEW"`, `7`, 1))
	f(`items { sku: "a\"b" } items {}`, strings.Replace(emptyOrder, `"items":[]`, `"items":[{"sku":"a\"b"},{"sku":""}]`, 1))
	f(`counts: [1, -1]`, strings.Replace(emptyOrder, `"counts":[]`, `"counts":[1,-1]`, 1))
	f(`labels { key: "b" value: 2 } labels { key: "a" value: 18446744073709551615 }`, strings.Replace(emptyOrder, `"labels":{}`, `"labels":{"a":18446744073709551615,"b":2}`, 1))
	f(`photo: "\000\001" rate: 0.1 weight: nan`, strings.NewReplacer(`"photo":""`, `"photo":"AAE="`, `"rate":0`, `"rate":0.1`, `"weight":0`, `"weight":"NaN"`).Replace(emptyOrder))
	f(`at { seconds: 1 nanos: 500000000 }`, emptyOrder+`,"at":"1970-01-01T00:00:01.5Z"`)
	f(`at { nanos: -1 }`, emptyOrder+`,"at":{"seconds":0,"nanos":-1}`)
	f(`cash: false`, emptyOrder+`,"cash":false`)
	f(`extra { [type.googleapis.com/shop.Item] { sku: "x" } }`, emptyOrder+`,"extra":{"type_url":"type.googleapis.com/shop.Item","value":{"sku":"x"}}`)
	f(`extra { type_url: "a/unknown" value: "x" }`, emptyOrder+`,"extra":{"type_url":"a/unknown","value":"eA=="}`)
}

// What the schema does not know is kept, with what tells one form on the wire from
// another.
func TestParseProtobufKeepsUnknownFields(t *testing.T) {
	t.Parallel()
	item := shopSchema(t).Message("shop.Item")
	var raw []byte
	raw = protowire.AppendVarint(protowire.AppendTag(raw, 9, protowire.VarintType), 1)
	raw = protowire.AppendString(protowire.AppendTag(raw, 8, protowire.BytesType), "text")
	raw = protowire.AppendBytes(protowire.AppendTag(raw, 8, protowire.BytesType), []byte{0, 1})
	raw = protowire.AppendString(protowire.AppendTag(raw, 8, protowire.BytesType), "base64:AAE=")
	raw = protowire.AppendFixed32(protowire.AppendTag(raw, 9, protowire.Fixed32Type), 1)
	raw = protowire.AppendFixed64(protowire.AppendTag(raw, 9, protowire.Fixed64Type), 1)
	raw = protowire.AppendTag(protowire.AppendTag(raw, 7, protowire.StartGroupType), 7, protowire.EndGroupType)
	tree, err := ParseProtobuf(item, raw, DefaultLimits, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"sku":"","#7":[{"group":""}],"#8":["text","base64:AAE=","base64:YmFzZTY0OkFBRT0="],"#9":[1,{"fixed32":1},{"fixed64":1}]}`
	if diff := cmp.Diff(want, string(tree.Source)); diff != "" {
		t.Error(diff)
	}
}

// However large what a message stands for would be, reading it takes what the
// limits allow.
func TestParseProtobufIsBounded(t *testing.T) {
	t.Parallel()
	order := shopSchema(t).Message("shop.Order")
	f := func(source []byte, limits Limits, limit int, want error) {
		t.Helper()
		if _, err := ParseProtobuf(order, source, limits, limit); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	few := Limits{Depth: 1000, Nodes: 1000}
	f(bytes.Repeat([]byte{3<<3 | 2, 0}, 100), few, 1<<20, errHeavy) // empty items
	packed := protowire.AppendBytes([]byte{4<<3 | 2}, make([]byte, 2000))
	f(packed, few, 1<<20, errHeavy)
	f(packed, DefaultLimits, 100, errLongText)
	var deep []byte
	for range maxMessageDepth + 1 {
		deep = protowire.AppendBytes([]byte{13<<3 | 2}, deep)
	}
	f(deep, DefaultLimits, 1<<20, errDeep)
	f([]byte{0xff}, DefaultLimits, 1<<20, errWire)
	f([]byte{3 << 3}, DefaultLimits, 1<<20, errWire)
}

func TestParseSchema(t *testing.T) {
	t.Parallel()
	f := func(set []byte, want string) {
		t.Helper()
		_, err := ParseSchema(set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(nil, "no files")
	f([]byte("{}"), "not a serialized FileDescriptorSet")
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(shopFile), file); err != nil {
		t.Fatal(err)
	}
	set, _ := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	f(set, "not a complete descriptor set")

	s := shopSchema(t)
	if m, stream := s.Answer("/shop.Orders/Get"); m.Name() != "shop.Order" || stream {
		t.Errorf("Get answers with %v, stream %v", m, stream)
	}
	if _, stream := s.Answer("/shop.Orders/Watch"); !stream {
		t.Error("Watch gives no stream")
	}
	for _, path := range []string{"", "/", "/shop.Orders", "/shop.Orders/Else", "/shop.Order/Get", "/x/y"} {
		if m, _ := s.Answer(path); m != nil {
			t.Errorf("%q answers with %v", path, m.Name())
		}
	}
}

// frame puts a head before a message.
func frame(flag byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}

func TestParseGRPC(t *testing.T) {
	t.Parallel()
	item := shopSchema(t).Message("shop.Item")
	message := encoded(t, item, `sku: "a"`)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(message)
	_ = z.Close()
	f := func(how GRPC, source []byte, want string) {
		t.Helper()
		tree, err := ParseGRPC(how, source, DefaultLimits, 1<<20)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = string(tree.Source)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	one, stream, blind := GRPC{Message: item}, GRPC{Message: item, Stream: true}, GRPC{}
	f(one, frame(0, message), `{"sku":"a"}`)
	f(one, nil, `null`)
	f(GRPC{Message: item, Encoding: "gzip"}, frame(1, zipped.Bytes()), `{"sku":"a"}`)
	f(stream, append(frame(0, message), frame(0, nil)...), `[{"sku":"a"},{"sku":""}]`)
	f(GRPC{JSON: true}, frame(0, []byte(`{"a": 1}`)), `{"a": 1}`)
	f(GRPC{JSON: true, Stream: true}, frame(0, []byte(`{"a": 1}`)), `[{"a": 1}]`)
	f(blind, frame(0, []byte("abc")), `["3 bytes, SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]`)
	f(one, append(frame(0, message), frame(0, nil)...), `error: not an answer of gRPC: 2 messages where the method has one`)
	f(one, frame(0, message)[:6], `error: not a body of gRPC: it ends within a message`)
	f(one, frame(0, message)[:3], `error: not a body of gRPC: it ends within the head of a message`)
	f(one, frame(2, message), `error: not a body of gRPC: a message has the flag 2`)
	f(one, frame(1, zipped.Bytes()), `error: not a body of gRPC: a message is compressed and grpc-encoding does not say how`)
	f(GRPC{Message: item, Encoding: "snappy"}, frame(1, message), `error: content coding "snappy" is not known`)
}

func FuzzParseGRPC(f *testing.F) {
	s := shopSchema(f)
	order := s.Message("shop.Order")
	f.Add(frame(0, encoded(f, order, `id: 1 items { sku: "a" } at { seconds: 1 } extra { [x/shop.Item] { sku: "x" } }`)))
	f.Add(frame(1, []byte{3<<3 | 3, 3<<3 | 4}))
	f.Fuzz(func(t *testing.T, source []byte) {
		for _, how := range []GRPC{{}, {Message: order}, {Message: order, Stream: true, Encoding: "gzip"}, {JSON: true}} {
			a, err := ParseGRPC(how, source, Limits{Depth: 300, Nodes: 1 << 16}, 1<<20)
			if err != nil {
				continue
			}
			b, err := ParseGRPC(how, source, Limits{Depth: 300, Nodes: 1 << 16}, 1<<20)
			if err != nil || !bytes.Equal(a.Source, b.Source) {
				t.Fatalf("read twice it is not the same: %v", err)
			}
		}
	})
}
