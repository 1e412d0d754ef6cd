package body

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// GRPC says how the messages of a gRPC body are read.
type GRPC struct {
	Encoding string   // what grpc-encoding says
	JSON     bool     // application/grpc+json: messages are JSON
	Message  *Message // what the messages are; nil if nobody knows
	Stream   bool     // the method answers with a stream of them
}

// ParseGRPC reads a body of gRPC: messages with a length before each. The answer of
// a method that gives one message is that message, or null where there is none, as
// with an error; that of a method that gives a stream is the array of them.
//
// Messages of which nobody knows what they are stand in an array as their lengths
// and hashes. To compare them field by field without a schema would not be sound:
// which of two fields holds may depend on their order.
//
// All messages together take at most limit bytes once they are decoded, and their
// text no more than four times that.
func ParseGRPC(how GRPC, source []byte, limits Limits, limit int) (*Tree, error) {
	messages, err := grpcMessages(how.Encoding, source, limits, limit)
	if err != nil {
		return nil, err
	}
	if one := !how.Stream && (how.JSON || how.Message != nil); one {
		if len(messages) == 0 {
			return ParseJSON([]byte("null"), limits)
		}
		if len(messages) > 1 {
			return nil, fmt.Errorf("not an answer of gRPC: %d messages where the method has one", len(messages))
		}
		return how.one(messages[0], limits, limit)
	}
	out := []byte{'['}
	for i, m := range messages {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = how.append(out, m, limits, 4*limit); err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	return ParseJSON(append(out, ']'), limits)
}

func (how *GRPC) one(message []byte, limits Limits, limit int) (*Tree, error) {
	if how.JSON {
		return ParseJSON(message, limits)
	}
	return ParseProtobuf(how.Message, message, limits, 4*limit)
}

func (how *GRPC) append(out, message []byte, limits Limits, limit int) ([]byte, error) {
	switch {
	case how.JSON:
		if _, err := ParseJSON(message, limits); err != nil {
			return nil, err
		}
		return append(out, message...), nil
	case how.Message != nil:
		return messageText(out, how.Message, message, limits, limit)
	}
	return fmt.Appendf(out, `"%d bytes, SHA-256 %x"`, len(message), sha256.Sum256(message)), nil
}

// grpcPrefix is what comes before each message: a flag and the length in four
// bytes (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
const grpcPrefix = 5

// grpcMessages cuts a body into its messages and takes off their compression.
func grpcMessages(encoding string, source []byte, limits Limits, limit int) ([][]byte, error) {
	var out [][]byte
	for left := limit; len(source) > 0; {
		if len(source) < grpcPrefix {
			return nil, errors.New("not a body of gRPC: it ends within the head of a message")
		}
		flag, size := source[0], binary.BigEndian.Uint32(source[1:])
		if source = source[grpcPrefix:]; uint64(size) > uint64(len(source)) {
			return nil, errors.New("not a body of gRPC: it ends within a message")
		}
		message := source[:size]
		source = source[size:]
		var err error
		switch {
		case flag > 1:
			return nil, fmt.Errorf("not a body of gRPC: a message has the flag %d", flag)
		case flag == 1 && encoding == "":
			return nil, errors.New("not a body of gRPC: a message is compressed and grpc-encoding does not say how")
		case flag == 1:
			if message, err = Decode(encoding, message, int64(left)); err != nil {
				return nil, err
			}
		}
		if left -= len(message); left < 0 {
			return nil, ErrTooLarge
		}
		if out = append(out, message); len(out) > limits.Nodes/messageWeight {
			return nil, errHeavy
		}
	}
	return out, nil
}
