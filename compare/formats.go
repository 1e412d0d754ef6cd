package compare

import (
	"bytes"
	"errors"
	"mime"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// Format is how a body is read.
type Format string

// The formats. Those but Text and Bytes are read as trees with paths from $; the
// package comment says what they look like.
const (
	JSON      Format = "json"
	NDJSON    Format = "ndjson"    // JSON documents, one a line
	Events    Format = "events"    // server-sent events
	Form      Format = "form"      // application/x-www-form-urlencoded
	Multipart Format = "multipart" // parts between boundaries
	XML       Format = "xml"
	GraphQL   Format = "graphql"  // JSON with data and errors
	Protobuf  Format = "protobuf" // one message
	GRPC      Format = "grpc"     // messages with their lengths
	Text      Format = "text"     // by lines; HTML too
	Bytes     Format = "bytes"    // by length and hash
	laxTree   Format = "tree"     // what a redactor made of a body of another format
)

// Formats lists the formats that bodies are read as.
var Formats = []Format{JSON, NDJSON, Events, Form, Multipart, XML, GraphQL, Protobuf, GRPC, Text, Bytes}

// laxTreeType is the media type of a stored body that a redactor turned into
// JSON, because it was of another format.
const laxTreeType = "application/vnd.parallax.tree+json"

// formatOfType holds media types that are no text/ and have no telling suffix.
var formatOfType = map[string]Format{
	"application/json": JSON, "text/json": JSON, laxTreeType: laxTree,
	"application/x-ndjson": NDJSON, "application/ndjson": NDJSON, "application/jsonlines": NDJSON, "application/jsonl": NDJSON, "application/x-jsonlines": NDJSON,
	"text/event-stream":                 Events,
	"application/x-www-form-urlencoded": Form,
	"application/xml":                   XML, "text/xml": XML,
	"application/grpc": GRPC, "application/grpc+proto": GRPC, "application/grpc+json": GRPC,
	"application/protobuf": Protobuf, "application/x-protobuf": Protobuf, "application/proto": Protobuf, "application/vnd.google.protobuf": Protobuf,
	"application/javascript": Text, "application/ecmascript": Text, "application/x-javascript": Text, "application/yaml": Text, "application/x-yaml": Text,
	"application/graphql": Text, "application/sql": Text, "application/toml": Text,
}

// FormatOf returns how a body with this content type is read: by its media type,
// its suffix (+json, +xml, +yaml, +protobuf), or as text for the rest of text/. Everything else
// is bytes.
func FormatOf(contentType string) Format {
	media := mediaType(contentType)
	if f, ok := formatOfType[media]; ok {
		return f
	}
	switch {
	case strings.HasSuffix(media, "+json"):
		return JSON
	case strings.HasSuffix(media, "+protobuf"):
		return Protobuf
	case strings.HasPrefix(media, "application/grpc+"):
		return GRPC
	case strings.HasSuffix(media, "+xml"):
		return XML
	case strings.HasPrefix(media, "multipart/"):
		return Multipart
	case strings.HasPrefix(media, "text/"), strings.HasSuffix(media, "+yaml"):
		return Text
	}
	return Bytes
}

// mediaType returns the media type that a Content-Type names.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	return strings.TrimSpace(media)
}

// structured reports whether bodies of the format are read as trees.
func (f Format) structured() bool { return f != Text && f != Bytes }

// text reports whether bodies of the format are text that people read.
func (f Format) text() bool { return f != Bytes && f != Multipart && f != Protobuf && f != GRPC }

// content is a body as it is read: without its coding and in UTF-8.
type content struct {
	format   Format
	boundary string // of Multipart; "" where the body tells it
	encoding string // of the messages of GRPC
	json     bool   // the messages of GRPC are JSON
	known    answers
	mark     string // what it begins with before what it says; see markOf
	text     []byte
}

// sameBytes reports whether two contents have the same bytes, which are read alike.
func (c *content) sameBytes(other *content) bool {
	return bytes.Equal(c.text, other.text) && c.boundary == other.boundary && c.encoding == other.encoding && c.json == other.json
}

// contentOf takes the codings and the charset off the body of an answer. Its error
// says why that cannot be; the format is right all the same.
func (f *finder) contentOf(r *parallax.Response) (content, error) {
	contentType := header(r.Headers, "content-type")
	text, err := body.Decode(header(r.Headers, "content-encoding"), r.Body.Bytes, maxDecoded)
	c := content{format: f.readAs(contentType, text), known: f.answers}
	if err != nil {
		return c, err
	}
	if c.format == GRPC {
		c.encoding, c.json = header(r.Headers, "grpc-encoding"), mediaType(contentType) == "application/grpc+json"
	}
	params := map[string]string(nil)
	if strings.Contains(contentType, ";") {
		_, params, _ = mime.ParseMediaType(contentType)
	}
	c.text, c.boundary = text, params["boundary"]
	if c.format == Multipart && c.boundary == "" {
		return c, errors.New("Content-Type tells no boundary, so that nobody can find the parts")
	}
	c.mark = markOf(c.format, contentType, text)
	if c.format.text() {
		c.text, err = body.ToUTF8(params["charset"], text)
	}
	return c, err
}

// errNoMessage is why protobuf without a schema is bytes. The messages of gRPC are
// told apart even so.
var errNoMessage = errors.New("no descriptors say which message this is")

// trees reads two structured bodies of one format. Fast path: two bodies of JSON are
// read along each other (BenchmarkCompare).
func trees(a, b content) (p, c *body.Tree, errP, errC error) {
	if a.format == JSON || a.format == GraphQL {
		return body.ParsePair(a.text, b.text, body.DefaultLimits)
	}
	p, errP = a.tree()
	c, errC = b.tree()
	return p, c, errP, errC
}

// tree reads a structured body.
func (c content) tree() (*body.Tree, error) {
	switch c.format {
	case NDJSON:
		return body.ParseNDJSON(c.text, body.DefaultLimits)
	case Events:
		return body.ParseEvents(c.text, body.DefaultLimits)
	case Form:
		return body.ParseForm(c.text, body.DefaultLimits)
	case Multipart:
		return body.ParseMultipart(c.text, c.boundary, body.DefaultLimits)
	case XML:
		return body.ParseXML(c.text, body.DefaultLimits, maxDecoded)
	case Protobuf:
		if c.known.message == nil {
			return nil, errNoMessage
		}
		return body.ParseProtobuf(c.known.message, c.text, body.DefaultLimits, 4*maxDecoded)
	case GRPC:
		how := body.GRPC{Encoding: c.encoding, JSON: c.json, Message: c.known.message, Stream: c.known.stream}
		return body.ParseGRPC(how, c.text, body.DefaultLimits, maxDecoded)
	}
	tree, err := body.ParseJSON(c.text, body.DefaultLimits)
	if err == nil && c.format == laxTree {
		tree.Lax = true
	}
	return tree, err
}
