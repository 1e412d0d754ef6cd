package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// ProtobufConfig says what the messages of a service are.
type ProtobufConfig struct {
	Descriptors string            `yaml:"descriptors" doc:"file with a serialized FileDescriptorSet and all it imports, as protoc --include_imports --descriptor_set_out or buf build -o writes it, as seen from this file; methods of gRPC are found in it by themselves"`
	Messages    map[string]string `yaml:"messages" doc:"what endpoints besides those of gRPC answer with, such as {GET /orders/{id}: shop.v1.Order}"`
}

// Messages are what is known of a service's messages. It does not change and may be
// shared; nil knows nothing.
type Messages struct {
	schema   *body.Schema
	messages map[string]*body.Message // by endpoint
}

// NewMessages reads a descriptor set and finds the messages that configuration
// names. Faults have paths from [ProtobufConfig].
func NewMessages(set []byte, messages map[string]string) (*Messages, []parallax.Fault) {
	schema, err := body.ParseSchema(set)
	if err != nil {
		return nil, []parallax.Fault{{Path: "descriptors", Text: err.Error(), Hint: "write it with protoc --include_imports --descriptor_set_out=FILE, or buf build -o FILE"}}
	}
	out := &Messages{schema: schema, messages: map[string]*body.Message{}}
	var faults []parallax.Fault
	for _, endpoint := range slices.Sorted(maps.Keys(messages)) {
		name := messages[endpoint]
		if out.messages[endpoint] = schema.Message(name); out.messages[endpoint] != nil {
			continue
		}
		f := parallax.Fault{Path: "messages", Text: fmt.Sprintf("%q answers with %.80q, which the descriptors do not have", endpoint, name)}
		if known := schema.Messages(); len(known) > 0 {
			f.Hint = fmt.Sprintf("write a full name such as %s", known[0])
			if near := nearest(name, known); near != "" {
				f.Hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
		faults = append(faults, f)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return out, nil
}

// Hash is a short hash over the descriptors, "" for nil.
func (m *Messages) Hash() string {
	if m == nil {
		return ""
	}
	return m.schema.Hash()
}

// answers is what is known beforehand of what an exchange is answered with.
type answers struct {
	message *body.Message // of protobuf; nil if nobody knows
	stream  bool          // of gRPC: there may be any number of them
	graphql bool          // the answers are GraphQL's
}

// answers returns what an exchange is answered with, by its endpoint, otherwise by
// the path that was asked for.
func (r *Rules) answers(endpoint, target string) (a answers) {
	if r != nil {
		a = r.known.answers(endpoint, target)
	}
	a.graphql = isOperation(endpoint)
	return a
}

func (m *Messages) answers(endpoint, target string) (a answers) {
	if m == nil {
		return a
	}
	if a.message = m.messages[endpoint]; a.message != nil {
		return a
	}
	_, path, _ := strings.Cut(endpoint, " ")
	if a.message, a.stream = m.schema.Answer(path); a.message == nil {
		a.message, a.stream = m.schema.Answer(pathOf(target))
	}
	return a
}

// pathOf returns the path of a request's target.
func pathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// hash is what the descriptors add to the hash of an endpoint's rules: what the
// endpoint answers with, nothing if that is surely no message of theirs.
func (m *Messages) hash(endpoint string) string {
	if m == nil {
		return ""
	}
	if named := m.messages[endpoint]; named != nil {
		return m.schema.Hash() + " " + named.Name() + "\n"
	}
	_, path, _ := strings.Cut(endpoint, " ")
	if answer, _ := m.schema.Answer(path); answer != nil || strings.ContainsAny(path, "{*") || !strings.Contains(path, "/") {
		return m.schema.Hash() + "\n"
	}
	return ""
}

// WithMessages returns the same rules with what is known of messages. The hashes of
// the endpoints it is about change with it.
func (r *Rules) WithMessages(p *Messages) *Rules {
	out := Rules{catalogue: catalogueText()}
	if r != nil {
		out = *r
	}
	out.known = p
	out.setVersion()
	return &out
}

// Replaced returns other rules in the place of these: what is known of messages and
// what else decides stays. Faults are those of [Compile].
func (r *Rules) Replaced(by []Rule) (*Rules, []parallax.Fault) {
	out, faults := Compile(by)
	if r != nil {
		out.catalogue, out.versions = r.catalogue, r.versions
		out = out.WithMessages(r.known)
	}
	return out, faults
}

// setVersion hashes everything there is.
func (r *Rules) setVersion() {
	all := ""
	if r.known != nil {
		all = r.known.schema.Hash()
		for _, endpoint := range slices.Sorted(maps.Keys(r.known.messages)) {
			all += "\n" + endpoint + " " + r.known.messages[endpoint].Name()
		}
	}
	r.version = hashRules(r.catalogue, r.rules, all)
}
