package body

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// MaxSchema bounds a descriptor set, in bytes.
const MaxSchema = 32 << 20

// Schema is what a set of protobuf descriptors says about messages and methods. It
// does not change and may be shared; nil knows nothing.
type Schema struct {
	files *protoregistry.Files
	types *dynamicpb.Types
	hash  string
}

// ParseSchema reads a serialized google.protobuf.FileDescriptorSet that holds
// everything its files import, as `protoc --include_imports --descriptor_set_out`
// and `buf build -o` write it.
func ParseSchema(set []byte) (*Schema, error) {
	if len(set) > MaxSchema {
		return nil, fmt.Errorf("the descriptor set has %d bytes, at most %d are read", len(set), MaxSchema)
	}
	var files descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &files); err != nil {
		return nil, errors.New("not a serialized FileDescriptorSet")
	}
	if len(files.File) == 0 {
		return nil, errors.New("the descriptor set has no files")
	}
	registry, err := protodesc.NewFiles(&files)
	if err != nil {
		return nil, fmt.Errorf("not a complete descriptor set: %s", strings.TrimPrefix(err.Error(), "proto: "))
	}
	sum := sha256.Sum256(set)
	return &Schema{files: registry, types: dynamicpb.NewTypes(registry), hash: hex.EncodeToString(sum[:8])}, nil
}

// Hash is a short hash over the descriptor set, "" for nil.
func (s *Schema) Hash() string {
	if s == nil {
		return ""
	}
	return s.hash
}

// Message returns the message of a full name such as shop.v1.Order, nil if it is
// not known.
func (s *Schema) Message(name string) *Message {
	d, ok := s.find(name).(protoreflect.MessageDescriptor)
	if !ok {
		return nil
	}
	return &Message{schema: s, is: d}
}

// Answer returns what the method at a path such as /shop.v1.Orders/Get answers
// with, nil if it is not known, and whether it is a stream of these.
func (s *Schema) Answer(path string) (answer *Message, stream bool) {
	m := s.method(path)
	if m == nil {
		return nil, false
	}
	return &Message{schema: s, is: m.Output()}, m.IsStreamingServer()
}

// Question returns what the method at a path is asked with, nil if it is not known,
// and whether it is a stream of these.
func (s *Schema) Question(path string) (question *Message, stream bool) {
	m := s.method(path)
	if m == nil {
		return nil, false
	}
	return &Message{schema: s, is: m.Input()}, m.IsStreamingClient()
}

// method returns the method at a path, nil if it is not known.
func (s *Schema) method(path string) protoreflect.MethodDescriptor {
	service, name, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok {
		return nil
	}
	d, ok := s.find(service).(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	return d.Methods().ByName(protoreflect.Name(name))
}

func (s *Schema) find(name string) protoreflect.Descriptor {
	if s == nil {
		return nil
	}
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	return d
}

// Messages lists the full names of the messages that are known, sorted.
func (s *Schema) Messages() []string {
	var out []string
	if s != nil {
		s.files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
			for i := range f.Messages().Len() {
				out = append(out, string(f.Messages().Get(i).FullName()))
			}
			return true
		})
	}
	slices.Sort(out)
	return out
}

// Message is the type of a protobuf message.
type Message struct {
	schema *Schema
	is     protoreflect.MessageDescriptor
}

// Name returns the full name of the type.
func (m *Message) Name() string { return string(m.is.FullName()) }
