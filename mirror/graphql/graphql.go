// Package graphql tells what a GraphQL request asks for, so that it can be
// counted by its operation, and so that a query can be mirrored where nothing
// that changes data may be.
//
// A mutation must never be taken for a query. So whatever servers might read in
// more than one way is [Unclear], and that is not safe: keys that stand twice or
// in other case, keys besides the four of the specification, parameters of the
// URL beside a body, documents that do not parse, an operation that is not named
// among several, and persisted queries, whose text is not in the request.
package graphql

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// Bounds of what is read. What is beyond them is unclear.
const (
	maxDocument = 128 << 10 // bytes of one document
	maxTokens   = 20_000    // of one document
	maxBatch    = 100       // requests
	maxName     = 64        // bytes of an operation's name; a longer one is left out
)

// Kind is what a request does. The zero value is Unclear.
type Kind uint8

// The kinds of request.
const (
	Unclear Kind = iota
	Query
	Mutation
	Subscription
)

// String returns the kind as it stands in an endpoint's name.
func (k Kind) String() string {
	switch k {
	case Query:
		return "query"
	case Mutation:
		return "mutation"
	case Subscription:
		return "subscription"
	}
	return "unclear"
}

// Operation is what a request asks for. Name is empty when it has none, and for
// a batch, whose Kind is Query only if all its requests are queries.
type Operation struct {
	Kind  Kind
	Name  string
	Batch bool
}

// String returns how the operation stands in an endpoint's name: query GetOrders,
// mutation, batch query.
func (o Operation) String() string {
	switch {
	case o.Batch:
		return "batch " + o.Kind.String()
	case o.Name != "":
		return o.Kind.String() + " " + o.Name
	}
	return o.Kind.String()
}

// FromQuery reads the request in a URL's query. There is none when it has no
// parameter of GraphQL's.
func FromQuery(rawQuery string) (op Operation, ok bool) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Operation{}, true
	}
	for key, list := range values {
		switch known(key) {
		case key:
			if len(list) > 1 {
				return Operation{}, true
			}
		case "": // not GraphQL's
			continue
		default:
			return Operation{}, true
		}
		ok = true
	}
	if !ok {
		return Operation{}, false
	}
	if values.Has("extensions") || values.Has("id") {
		return Operation{}, true // perhaps a persisted query
	}
	return fromDocument(values.Get("query"), values.Get("operationName")), true
}

// known returns the parameter or key that a name stands for or could be taken
// for, "" when it has nothing to do with GraphQL. Some servers leave out spaces in
// front of a name, and take query[] and query.x for query.
func known(name string) string {
	name = strings.Trim(name, " \t\r\n\x00")
	if i := strings.IndexAny(name, "[."); i > 0 {
		name = name[:i]
	}
	for _, k := range []string{"query", "operationName", "variables", "extensions", "id"} {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	switch strings.ToLower(name) {
	case "documentid", "doc_id", "queryid", "hash", "mutation", "subscription":
		return "id"
	}
	return ""
}

// FromBody reads the request that a POST sends: one, or a list of them. The
// query of its URL must hold none, since servers differ in which they prefer.
func FromBody(contentType, rawQuery string, body []byte) Operation {
	if _, also := FromQuery(rawQuery); also || !utf8.Valid(body) {
		return Operation{}
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return Operation{}
	}
	switch kind {
	case "application/graphql":
		return fromDocument(string(body), "")
	case "application/json", "application/graphql+json":
	default:
		return Operation{}
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) > 0 && body[0] == '[' {
		return fromBatch(body)
	}
	return fromObject(body)
}

// fromBatch reads a list of requests. It is a query only if each of them is.
func fromBatch(body []byte) Operation {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) != nil || len(list) == 0 || len(list) > maxBatch {
		return Operation{Batch: true}
	}
	all := fromObject(list[0]).Kind
	for _, one := range list[1:] {
		if fromObject(one).Kind != all {
			return Operation{Batch: true}
		}
	}
	return Operation{Kind: all, Batch: true}
}

// fromObject reads one request as a JSON object.
func fromObject(body []byte) Operation {
	var query, name string
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return Operation{}
	}
	seen := map[string]bool{}
	for d.More() {
		key, value, err := member(d)
		if err != nil || seen[key] {
			return Operation{}
		}
		seen[key] = true
		switch key {
		case "query":
			err = json.Unmarshal(value, &query)
		case "operationName":
			err = json.Unmarshal(value, &name) // null is no name
		case "variables":
		case "extensions":
			err = harmless(value)
		default: // it may say which document is meant
			return Operation{}
		}
		if err != nil {
			return Operation{}
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return Operation{}
	}
	if _, err := d.Token(); err != io.EOF {
		return Operation{}
	}
	return fromDocument(query, name)
}

func member(d *json.Decoder) (key string, value json.RawMessage, err error) {
	t, err := d.Token()
	if err != nil {
		return "", nil, err
	}
	key, _ = t.(string)
	return key, value, d.Decode(&value)
}

var errDoubtful = errors.New("it may name another document")

// harmless fails for extensions that may name another document.
func harmless(extensions json.RawMessage) error {
	if bytes.Equal(extensions, []byte("null")) || bytes.Equal(extensions, []byte("{}")) {
		return nil
	}
	return errDoubtful
}

// fromDocument reads a document and finds the operation that runs.
func fromDocument(text, name string) Operation {
	if text == "" || len(text) > maxDocument || !utf8.ValidString(text) {
		return Operation{}
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil || doc == nil {
		return Operation{}
	}
	var found *ast.OperationDefinition
	names := map[string]bool{}
	for _, op := range doc.Operations {
		if names[op.Name] { // the specification forbids it, and servers differ
			return Operation{}
		}
		names[op.Name] = true
		if name == "" || op.Name == name {
			if found != nil {
				return Operation{} // several, and none is named
			}
			found = op
		}
	}
	if found == nil || names[""] && len(names) > 1 {
		return Operation{}
	}
	return operation(found)
}

func operation(op *ast.OperationDefinition) Operation {
	out := Operation{Name: op.Name}
	if len(out.Name) > maxName {
		out.Name = ""
	}
	switch op.Operation {
	case ast.Query:
		out.Kind = Query
	case ast.Mutation:
		out.Kind = Mutation
	case ast.Subscription:
		out.Kind = Subscription
	default:
		return Operation{}
	}
	return out
}
