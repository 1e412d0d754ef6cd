// Package mirror is what happens to a request: it stands in front of a service,
// passes every request on to the live leg, gives the caller the answer, and
// sends a copy to the other legs. What all legs answered goes to a [Queue] as
// one [parallax.Exchange].
//
// # One request
//
// [Mirror] serves each request in this order (Mirror.serve in mirror.go):
//
//  1. Its endpoint is found (endpoint.go), its user's live leg is picked (package
//     split), and the headers every leg gets are made (field.go, mark.go). From
//     here on the [Ledger] knows it, in exactly one place at any time.
//  2. The request streams to the live leg and the answer streams back (live.go).
//     Copies of both bodies ride along, bounded per body and by one [Budget] for
//     all (tap.go, capture.go).
//  3. The other legs get the copy (shadow.go): a safe request once the copy is
//     complete, an unsafe one only after the live leg's status line, and only if
//     that leg's declared [State] allows it and mirror.unsafe does.
//  4. The last leg to finish settles the exchange (flight.go): it is offered to
//     the queue, or counted with the reason why not.
//
// # Promises
//
// The caller never waits for a shadow leg, and no fault of one reaches the
// caller: a copy that finds no room, a leg that hangs, a full queue each cost a
// comparison and are counted, nothing else.
//
// Memory is bounded: copies by the budget and then by the queue, requests to each
// shadow leg by mirror.in_flight, endpoints by [DefaultEndpoints]. A secondary
// that is full costs the measure of noise; the exchange goes on without it.
//
// No leg is asked twice silently. A request of which no byte had been written,
// because its connection was closed already, goes to another connection. A safe
// request without a body goes to the live leg once more when a connection that
// had served others broke before an answer, or when one of several instances
// refused it; both tries are counted. Everything else is sent once.
//
// Nothing unsafe reaches a leg besides the live one that has not declared that
// it may, nor the primary behind a live candidate without a database of its own.
// What a leg calls in turn carries a signed role mark, so that another Parallax
// on the way keeps a shadow's calls from a primary's state, and a request that
// goes in circles is answered 508 (mark.go).
//
// # How HTTP is spoken
//
// What parses and writes HTTP is in two files, server_http.go and
// client_http.go, behind the seam in wire.go. Both use net/http for now, which
// costs some fidelity: the order and case of headers is lost; informational
// answers other than 100 are not passed on; the head of an answer with a known
// length waits for the first bytes of its body; a request target that begins
// with two slashes and holds bytes that a URL may not is escaped anew. A caller
// that sent Expect: 100-continue gets its 100 when the live leg has agreed, or
// after a second in which the leg said nothing. An answer to a request that the
// leg has not read ends 50 ms late, unless the leg closes the connection and
// says so.
package mirror
