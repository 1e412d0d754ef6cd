package h1

import (
	"errors"
	"fmt"

	"parallax"
)

// Refusal says why bytes from a peer are not taken for an HTTP/1 message. To a
// caller it is answered with Status, and the connection is closed; a leg's
// becomes an [Error] of kind BadAnswer.
type Refusal struct {
	Status int    // what a caller is told
	Text   string // for people; says nothing about this machine
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func refuse(status int, text string) *Refusal { return &Refusal{Status: status, Text: text} }

// What is refused. Every one of them is in the table of the package
// documentation.
var (
	errBadLine     = refuse(400, "malformed request line")
	errBadVersion  = refuse(505, "HTTP version is neither 1.0 nor 1.1")
	errBadTarget   = refuse(400, "malformed request target")
	errBareLF      = refuse(400, "line does not end with CR LF")
	errBadName     = refuse(400, "malformed field name")
	errFold        = refuse(400, "folded field line, or space before the colon")
	errBadValue    = refuse(400, "control character in a field value")
	errManyFields  = refuse(431, "too many field lines")
	errLongHead    = refuse(431, "head is too large")
	errLongTarget  = refuse(414, "request target is too long")
	errBadHost     = refuse(400, "Host is missing, repeated or malformed")
	errBothLengths = refuse(400, "both Content-Length and Transfer-Encoding")
	errTwoLengths  = refuse(400, "more than one Content-Length")
	errBadLength   = refuse(400, "malformed Content-Length")
	errBadCoding   = refuse(400, "Transfer-Encoding is not exactly chunked")
	errOldChunked  = refuse(400, "Transfer-Encoding in HTTP/1.0")
	errBadTrailer  = refuse(400, "field announced in Trailer cannot be one")
	errExpectation = refuse(417, "unknown expectation")
	errSlowHead    = refuse(408, "request head took too long")
	errPreface     = refuse(505, "HTTP/2 is not spoken here")

	errBadChunk     = refuse(400, "malformed chunk")
	errLongTrailers = refuse(400, "trailer section is too large")

	errBadStatus   = refuse(502, "malformed status line")
	errManyInforms = refuse(502, "too many informational answers")
	errSwitched    = refuse(502, "protocol changed without being asked to")
)

// Errors of use, which a caller may test for.
var (
	ErrClosed   = errors.New("connection or pool is closed")
	ErrBodyLate = errors.New("request body is read after its request was answered")
	ErrLength   = errors.New("body is not as long as was declared")
	ErrNoHead   = errors.New("body is written before the head")
)

// Error is a request that got no answer, or an answer that broke off.
type Error struct {
	Kind parallax.ErrKind // CallerGone: the request's own body failed; NotAsked: the message cannot be written
	Addr string           // host and port of the leg
	Sent bool             // at least one byte of the request may have left
	// Reused says that the connection had served other requests before.
	Reused bool
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("cannot ask %s: %v", e.Addr, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
