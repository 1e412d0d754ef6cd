package parallax

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Leg is one of the places a request is sent to.
type Leg uint8

// The legs of a service. Their values index [Exchange.Legs] and are stored.
const (
	Primary   Leg = iota // the old version
	Candidate            // the new version
	Secondary            // a second instance of the old version, for noise
)

// Legs is the number of legs an exchange may have.
const Legs = 3

// String returns the leg's name as it stands in headers, metrics and reports.
func (l Leg) String() string {
	switch l {
	case Primary:
		return "primary"
	case Candidate:
		return "candidate"
	case Secondary:
		return "secondary"
	}
	return fmt.Sprintf("leg(%d)", uint8(l))
}

// ParseLeg reads what [Leg.String] writes.
func ParseLeg(name string) (Leg, bool) {
	for l := range Leg(Legs) {
		if l.String() == name {
			return l, true
		}
	}
	return 0, false
}

// Source says where the traffic of an exchange came from.
type Source uint8

// The sources of traffic. Their values are stored.
const (
	FromProxy  Source = iota // Parallax stood in the request's path
	FromTap                  // a copy of a request that another proxy mirrored
	FromReplay               // a recorded request
)

// String returns the source's name as it is stored and shown.
func (s Source) String() string {
	switch s {
	case FromProxy:
		return "proxy"
	case FromTap:
		return "tap"
	case FromReplay:
		return "replay"
	}
	return fmt.Sprintf("source(%d)", uint8(s))
}

// Field is one header or trailer line. Order, case and repeats are kept where
// the HTTP machinery keeps them.
type Field struct {
	Name, Value string
}

// Body is a bounded copy of a body. Bytes holds its beginning, at most the
// bound; Size and SHA256 cover the whole body. Cut says that Bytes is shorter than
// Size, or that the body was not seen to its end: then SHA256 is zero, and the
// body has at least Size bytes. Of a body that is not cut SHA256 may be zero
// as well until it is stored, because few bodies are: [Body.Sum] makes up for that.
type Body struct {
	Bytes  []byte
	Size   int64
	SHA256 [32]byte
	Cut    bool
}

// Sum returns the SHA-256 of the whole body: SHA256, or that of Bytes where they
// are all of it and SHA256 was left zero. It is zero when nobody knows it.
func (b *Body) Sum() [32]byte {
	if b.SHA256 == [32]byte{} && !b.Cut && len(b.Bytes) > 0 {
		return sha256.Sum256(b.Bytes)
	}
	return b.SHA256
}

// Request is a request as one leg got it. Target is the raw path and query as
// they stood on the request line.
type Request struct {
	Method, Target, Host, Proto string
	Headers                     []Field
	Body                        Body
	Trailers                    []Field
}

// Response is a leg's complete answer.
type Response struct {
	Status   int
	Headers  []Field
	Body     Body
	Trailers []Field
}

// ErrKind says why a leg gave no complete answer. The zero value means it did.
type ErrKind uint8

// The kinds of failure of a leg. Their values are stored.
const (
	NoError    ErrKind = iota
	Refused            // no connection
	Reset              // the connection broke before the answer was complete
	Timeout            // no complete answer within the leg's deadline
	BadAnswer          // what came was not HTTP
	CallerGone         // the caller left before the answer was complete
	NotAsked           // Parallax did not send the request to this leg; Text says why
)

// String returns the kind's name as it is stored and shown.
func (k ErrKind) String() string {
	switch k {
	case NoError:
		return ""
	case Refused:
		return "refused"
	case Reset:
		return "reset"
	case Timeout:
		return "timeout"
	case BadAnswer:
		return "bad_answer"
	case CallerGone:
		return "caller_gone"
	case NotAsked:
		return "not_asked"
	}
	return fmt.Sprintf("error(%d)", uint8(k))
}

// CallErr is the failure of a leg as data. Text is for people and carries no
// credentials.
type CallErr struct {
	Kind ErrKind
	Text string
}

// Call is what one leg was asked and what it answered. When Err.Kind is not
// NoError, Response holds what had arrived, and its status is 0 if nothing had.
// Start, FirstByte and Done are monotonic durations since [Exchange.Received];
// Start is when the request was sent, without waits in queues or lanes.
type Call struct {
	Request  Request
	Response Response
	Err      CallErr
	Start    time.Duration
	First    time.Duration // first byte of the answer's head; 0 when none came
	Done     time.Duration
	Version  string // what the leg says its version is; may be empty
	Effects  []Effect
	Unread   string // why Effects may not be all that the leg did; empty if they are, or nobody reads them
}

// Latency is the time the leg took: from request sent to first answer byte. It
// is false when there was no answer byte.
func (c *Call) Latency() (time.Duration, bool) {
	if c == nil || c.First == 0 {
		return 0, false
	}
	return c.First - c.Start, true
}

// Op is what an effect did to a row.
type Op string

// What effects do.
const (
	Insert   Op = "insert"
	Update   Op = "update"
	Delete   Op = "delete"
	Truncate Op = "truncate" // of a whole table; there is no row
	Emit     Op = "emit"     // something sent to the outside: a mail, a message, a call
)

// Correlation says how an effect was joined to its exchange.
type Correlation string

// The ways to join an effect to an exchange, the strongest first.
const (
	ByTag    Correlation = "tag"    // its transaction carries the exchange's id
	ByTrace  Correlation = "trace"  // its transaction carries the exchange's traceparent
	ByColumn Correlation = "column" // a column of it has the exchange's id
	ByKey    Correlation = "key"    // its key stands in the exchange, and it was committed in its time; no proof
)

// Effect is one row change a leg caused, as its database committed it, or one
// thing it sent to the outside. Columns hold values as the database writes them as
// text. After an update every column of the row is there, those that the log leaves out as
// [Unchanged]; before it, and of a row that is deleted, often only the key is known.
type Effect struct {
	Table         string // as its database names it, with the schema where that is not public; of an Emit where to
	Op            Op
	Key           []Column // what names the row: its replica identity; of an update its value before
	Before, After []Column
	Correlation   Correlation
	At            time.Time // when it was committed, by the database's clock
	Position      uint64    // of the commit, where its database counts: of PostgreSQL the LSN
	Late          bool      // committed after the effects of its exchange were compared
}

// ColumnType says how the text of a column is to be read.
type ColumnType uint8

// The types of columns, as far as comparing them goes. Their values are stored.
const (
	TextColumn   ColumnType = iota // also everything that is not one of the others
	NumberColumn                   // of any width: exact decimal
	BoolColumn                     // t or f
	TimeColumn                     // a time or date, ISO 8601, in UTC where it knows zones
	JSONColumn                     // a document
	BytesColumn                    // \x and hex digits
	ArrayColumn                    // {a,b}, as PostgreSQL writes arrays
	Unchanged                      // no value: an update left it as it was, and it is too long for the log (TOAST)
)

// Column is one column of a row image. A nil Value is SQL NULL.
type Column struct {
	Name  string
	Type  ColumnType
	Value *string
	Made  bool   // the database makes up its value where none is given: an identity, a sequence, a random default; with Ref, that of the column it repeats
	Ref   string // the column whose value it repeats, as a foreign key says: TABLE.COLUMN; empty where none does
}

// Exchange is one request with what every leg answered. It is a value: after it
// was offered to a queue nobody changes it; only the worker fills in effects, on
// a copy of its own.
type Exchange struct {
	ID         ID
	Service    string
	Endpoint   string
	Source     Source
	User       [16]byte // keyed HMAC of the user the split and lanes go by; zero when unknown
	Received   time.Time
	Live       Leg
	Concurrent bool     // overlapped with another exchange of its user; known where users are kept in order
	Covered    bool     // the safety net answered instead of the live leg
	Safe       bool     // the request changes nothing, as its endpoint says, and may be sent once more
	Unmapped   []string // names of the identifiers of which a shadow request, or a row that a leg wrote, named a value that has no partner on the other leg: then the exchange is not comparable, whatever was answered
	Lag        string   // how a shadow leg's state is behind where the request is about it: behind, writes wait to be caught up, or tainted, one never will be; then the exchange is not comparable, whatever was answered
	Legs       [Legs]*Call
}

// Stamp is what every count of an exchange is filed under.
func (x *Exchange) Stamp() Stamp {
	return Stamp{Service: x.Service, Endpoint: x.Endpoint, Received: x.Received}
}
