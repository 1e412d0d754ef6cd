package main

import (
	"fmt"
	"io"
	"os"

	"parallax"
	"parallax/compare"
	"parallax/internal/body"
)

// readMessages reads a descriptor set and finds the messages that endpoints answer
// with. Faults have paths from [compare.ProtobufConfig].
func readMessages(c compare.ProtobufConfig) (*compare.Messages, []parallax.Fault) {
	if c.Descriptors == "" && len(c.Messages) == 0 {
		return nil, nil
	}
	if c.Descriptors == "" {
		return nil, []parallax.Fault{{Path: "descriptors", Text: "needs a file, without which no message is known"}}
	}
	file, err := os.Open(c.Descriptors)
	if err != nil {
		return nil, []parallax.Fault{{Path: "descriptors", Text: fmt.Sprintf("cannot read the descriptors: %v", err)}}
	}
	defer file.Close()
	set, err := io.ReadAll(io.LimitReader(file, body.MaxSchema+1))
	if err != nil {
		return nil, []parallax.Fault{{Path: "descriptors", Text: fmt.Sprintf("cannot read the descriptors: %v", err)}}
	}
	return compare.NewMessages(set, c.Messages)
}

// readProtobuf reads the service's descriptors, which are named as seen from the
// configuration's file.
func (s *ServiceConfig) readProtobuf(file string) (faults []parallax.Fault) {
	if s.Protobuf.Descriptors != "" {
		s.Protobuf.Descriptors = under(file, s.Protobuf.Descriptors)
	}
	s.messages, faults = readMessages(s.Protobuf)
	s.Descriptors = s.messages.Hash()
	return parallax.Under("protobuf", faults)
}
