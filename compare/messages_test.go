package compare

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"parallax"
)

// protoCase is what a case with a schema needs: what Parallax knows, and what
// writes messages.
type protoCase struct {
	known  *Messages
	answer protoreflect.MessageDescriptor
}

// compileProto compiles a .proto file. Cases of gRPC ask an endpoint such as
// POST /shop.Orders/Get; the others answer with the message named Answer.
func compileProto(t *testing.T, source, endpoint string) protoCase {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"schema.proto": source}),
	})}
	files, err := compiler.Compile(context.Background(), "schema.proto")
	if err != nil {
		t.Fatal(err)
	}
	file := files[0]
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: withImports(file, nil)})
	if err != nil {
		t.Fatal(err)
	}
	out, named := protoCase{}, map[string]string{}
	_, path, _ := strings.Cut(endpoint, " ")
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if s := file.Services().ByName(protoreflect.FullName(service).Name()); s != nil {
		out.answer = s.Methods().ByName(protoreflect.Name(method)).Output()
	} else if out.answer = file.Messages().ByName("Answer"); out.answer != nil {
		named[endpoint] = string(out.answer.FullName())
	}
	known, faults := NewMessages(set, named)
	for _, f := range faults {
		t.Error(f)
	}
	out.known = known
	return out
}

// withImports lists a file behind those it imports.
func withImports(file protoreflect.FileDescriptor, out []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	for i := range file.Imports().Len() {
		out = withImports(file.Imports().Get(i).FileDescriptor, out)
	}
	return append(out, protodesc.ToFileDescriptorProto(file))
}

// encode writes a message that stands there as text.
func (c protoCase) encode(t *testing.T, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(c.answer)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	out, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// call makes an answer of messages: grpc, grpc.gz or pb. A line --- stands between
// the messages of gRPC.
func (c protoCase) call(t *testing.T, ending, text string) *parallax.Call {
	t.Helper()
	if ending == "pb" {
		return answer(200, string(c.encode(t, text)), "Content-Type", "application/x-protobuf")
	}
	var out []byte
	for part := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		message, flag := c.encode(t, part), byte(0)
		if ending == "grpc.gz" {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(message)
			w.Close()
			message, flag = b.Bytes(), 1
		}
		out = append(binary.BigEndian.AppendUint32(append(out, flag), uint32(len(message))), message...)
	}
	fields := []string{"Content-Type", "application/grpc"}
	if ending == "grpc.gz" {
		fields = append(fields, "Grpc-Encoding", "gzip")
	}
	call := answer(200, string(out), fields...)
	call.Response.Trailers = []parallax.Field{{Name: "Grpc-Status", Value: "0"}}
	return call
}

const ordersProto = `syntax = "proto3";
package shop;
message Order { int64 id = 1; }
message Key { int64 id = 1; }
service Orders { rpc Get(Key) returns (Order); }
`

// What is known of messages is evidence about the endpoints that answer with them,
// and about no others.
func TestMessagesAreInTheHash(t *testing.T) {
	t.Parallel()
	const method = "POST /shop.Orders/Get"
	one := compileProto(t, ordersProto, method).known
	other := compileProto(t, strings.Replace(ordersProto, "int64 id = 1; }", "int64 id = 1; string note = 2; }", 1), method).known
	var none *Rules
	a, b := none.WithMessages(one), none.WithMessages(other)
	f := func(endpoint string, same bool) {
		t.Helper()
		if got := a.Hash(endpoint) == b.Hash(endpoint); got != same {
			t.Errorf("%s: same hash %v, want %v", endpoint, got, same)
		}
		if got := a.Hash(endpoint) == none.Hash(endpoint); got != same {
			t.Errorf("%s: same hash as without messages %v, want %v", endpoint, got, same)
		}
	}
	f(method, false)
	f("POST /{service}/{method}", false)
	f("GET /orders", true)
	f("POST /shop.Orders/Else", true)
	if a.Version() == b.Version() {
		t.Error("the version says nothing of the descriptors")
	}
	replaced, _ := a.Replaced([]Rule{{Path: "$.id", Ignore: true}})
	if replaced.Hash("POST /shop.Orders/Get") == compiledRules(t, Rule{Path: "$.id", Ignore: true}).Hash("POST /shop.Orders/Get") {
		t.Error("other rules do not know the messages")
	}
}

func compiledRules(t *testing.T, rules ...Rule) *Rules {
	t.Helper()
	out, faults := Compile(rules)
	for _, f := range faults {
		t.Error(f)
	}
	return out
}

func TestNewMessages(t *testing.T) {
	t.Parallel()
	_, faults := NewMessages([]byte("{}"), nil)
	if len(faults) != 1 || faults[0].Path != "descriptors" {
		t.Errorf("got %v", faults)
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("a.proto"), Package: proto.String("shop"), MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Order")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	_, faults = NewMessages(set, map[string]string{"GET /a": "shop.Ordre", "GET /b": "shop.Order"})
	want := []parallax.Fault{{Path: "messages", Text: `"GET /a" answers with "shop.Ordre", which the descriptors do not have`, Hint: `did you mean "shop.Order"?`}}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Error(diff)
	}
}
