package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"parallax/divergence"
	"parallax/internal/rig"
)

// orderService is a gRPC service that asks and answers with one message, shop.Order:
// a number, a note and a token.
type orderService struct {
	set   *descriptorpb.FileDescriptorSet
	order protoreflect.MessageDescriptor
}

func newOrderService(t *testing.T) *orderService {
	t.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("shop.proto"), Package: proto.String("shop"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Order"), Field: []*descriptorpb.FieldDescriptorProto{
			field("id", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64),
			field("note", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING),
			field("api_token", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING),
		}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Orders"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Get"), InputType: proto.String(".shop.Order"), OutputType: proto.String(".shop.Order")},
		}}},
	}
	known, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &orderService{&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}}, known.Messages().ByName("Order")}
}

func (s *orderService) message(id int64, note, token string) *dynamicpb.Message {
	m := dynamicpb.NewMessage(s.order)
	fields := s.order.Fields()
	m.Set(fields.ByName("id"), protoreflect.ValueOfInt64(id))
	m.Set(fields.ByName("note"), protoreflect.ValueOfString(note))
	m.Set(fields.ByName("api_token"), protoreflect.ValueOfString(token))
	return m
}

// serve starts a leg and returns its address. It stops when the test ends.
func (s *orderService) serve(t *testing.T, answer func(in *dynamicpb.Message) (*dynamicpb.Message, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	get := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := dynamicpb.NewMessage(s.order)
		if err := decode(in); err != nil {
			return nil, err
		}
		return answer(in)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Orders", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: get}}}, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return "http://" + l.Addr().String()
}

// TestGRPCIsComparedFieldByField calls a gRPC service through a running Parallax: equal
// messages match however they are written, a field that differs is named, a status in
// the trailers is compared, and no token of a message is stored or shown.
func TestGRPCIsComparedFieldByField(t *testing.T) {
	t.Parallel()
	s := newOrderService(t)
	leg := func(name, note string) string {
		return s.serve(t, func(in *dynamicpb.Message) (*dynamicpb.Message, error) {
			id := in.Get(s.order.Fields().ByName("id")).Int()
			switch id {
			case 1:
				return s.message(id, "same", bird+"-grpc"), nil
			case 2:
				return s.message(id, note, bird+"-grpc-"+name), nil
			}
			return nil, status.Error(map[string]codes.Code{"primary": codes.NotFound, "candidate": codes.Internal}[name], "no order")
		})
	}
	address, dir := freeAddress(t), t.TempDir()
	set, err := proto.Marshal(s.set)
	if err != nil {
		t.Fatal(err)
	}
	descriptors := filepath.Join(dir, "shop.binpb")
	if err := os.WriteFile(descriptors, set, 0o600); err != nil {
		t.Fatal(err)
	}
	p := rig.StartIn(t, dir, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: { listen: %q }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q], protocol: http2 }
  candidate: { urls: [%q], protocol: http2, state: own, outbound: none, jobs: off }
  endpoints: ["POST /shop.Orders/Get"]
  protobuf: { descriptors: %q }
  mirror: { unsafe: allowed }
`, address, leg("primary", "one"), leg("candidate", "two"), descriptors))
	conn, err := grpc.NewClient(strings.TrimPrefix(p.Services["shop"], "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for id := range int64(3) {
		out := dynamicpb.NewMessage(s.order)
		err := conn.Invoke(t.Context(), "/shop.Orders/Get", s.message(id+1, "asked", bird+"-grpc-caller"), out)
		if want := map[int64]codes.Code{2: codes.NotFound}[id]; status.Code(err) != want {
			t.Fatalf("order %d: %v", id+1, err)
		}
	}
	r := settled(t, p, 3)
	if c := r.Accounting.Compared; c["match"] != 1 || c["diverged"] != 2 {
		t.Errorf("compared: %v", c)
	}
	var issues []divergence.Issue
	if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, i := range issues {
		paths = append(paths, i.Path)
	}
	slices.Sort(paths)
	if d := cmp.Diff([]string{"$.api_token", "$.note", "trailer:grpc-status"}, paths); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	seeTables(t, address)
	seePages(t, p)
	p.Stop()
	seen(t, "the log", p.Log())
	for _, spelled := range birdSpelled {
		searchFiles(t, dir, spelled)
	}
}
