package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"parallax/compare"
)

// orderSet is a descriptor set with one message, shop.Order, whose first field is a
// number called id.
func orderSet(t *testing.T) string {
	t.Helper()
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("a.proto"), Package: proto.String("shop"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Order"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("id"), Number: proto.Int32(1),
			Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

func TestDiffProtobuf(t *testing.T) {
	t.Parallel()
	set := filepath.Join(t.TempDir(), "shop.binpb")
	if err := os.WriteFile(set, []byte(orderSet(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"one.pb": "\x08\x07", "long.pb": "\x08\x87\x00", "two.pb": "\x08\x08", "bad.pb": "\x08"}
	f := func(want string, code int, args ...string) {
		t.Helper()
		got, errs, exit := diffed(t, files, args...)
		if diff := cmp.Diff(want, got+errs); diff != "" || exit != code {
			t.Errorf("exit %d, want %d\n%s", exit, code, diff)
		}
	}
	as := func(more ...string) []string {
		return append([]string{"--descriptors", set, "--message", "shop.Order"}, more...)
	}
	f("$.id  changed  7 -> 8\n1 difference\n", exitNot, as("one.pb", "two.pb")...)
	f("no difference\n", exitGood, as("one.pb", "long.pb")...)
	f("body  undecoded  decoded -> not a shop.Order: the bytes are no fields of protobuf\n1 difference\n", exitNot, as("one.pb", "bad.pb")...)
	f("body  changed  2 bytes, SHA-256 c3aefc14ee113120… -> 2 bytes, SHA-256 0b57459772db2f3f…\n1 difference\n", exitNot, "one.pb", "two.pb")
	f("parallax: --descriptors do not have the message \"shop.Else\"\n", exitError, "--descriptors", set, "--message", "shop.Else", "one.pb", "two.pb")
	f("parallax: --descriptors: needs a file, without which no message is known\n", exitError, "--message", "shop.Order", "one.pb", "two.pb")
}

func TestConfigProtobuf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shop.binpb"), []byte(orderSet(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	parse := func(protobuf string) (*compare.Messages, string) {
		c, faults := parseConfig(filepath.Join(dir, "parallax.yaml"), []byte(`services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: ["http://127.0.0.1:9001"] }
  candidate: { urls: ["http://127.0.0.1:9002"] }
  protobuf: `+protobuf+"\n"))
		var wrong []string
		for _, f := range faults {
			wrong = append(wrong, strings.ReplaceAll(f.Error(), dir, ""))
		}
		return c.Services[0].messages, strings.Join(wrong, "\n")
	}
	known, wrong := parse(`{ descriptors: shop.binpb, messages: { "GET /orders/{id}": shop.Order } }`)
	if known == nil || wrong != "" {
		t.Errorf("got %v, %s", known, wrong)
	}
	f := func(protobuf, want string) {
		t.Helper()
		if _, wrong := parse(protobuf); !strings.Contains(wrong, want) {
			t.Errorf("got %s, want %s", wrong, want)
		}
	}
	f(`{ descriptors: none.binpb }`, `services[0].protobuf.descriptors: cannot read the descriptors: open /none.binpb`)
	f(`{ descriptors: parallax.yaml.missing, messages: {} }`, `no such file`)
	f(`{ messages: { "GET /a": shop.Order } }`, `services[0].protobuf.descriptors: needs a file`)
	f(`{ descriptors: shop.binpb, messages: { "GET /a": shop.Ordre } }`, `services[0].protobuf.messages: "GET /a" answers with "shop.Ordre", which the descriptors do not have; did you mean "shop.Order"?`)
}
