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
//     all (tap.go, capture.go). With a net, the answer of a live candidate that
//     fails before its first byte is replaced by the primary's (net.go).
//  3. The other legs get the copy (shadow.go): a safe request once the copy is
//     complete, an unsafe one only after the live leg's status line, and only if
//     that leg's declared [State] allows it and mirror.unsafe does.
//  4. The last leg to finish settles the exchange (flight.go): it is offered to
//     the queue, or counted with the reason why not.
//
// # Order
//
// Without mirror.order_by all legs are asked at once, or for an unsafe request
// as soon as the live leg's status line is there: a slow shadow may see a user's
// read before the write that went first. With it each user has a lane on each
// shadow leg (lane.go, order.go). What was answered on the live leg before a
// request came in is over on the shadow leg - answered, failed or dropped -
// before that request goes there. Requests that overlapped on the live leg may
// overlap again and are marked [parallax.Exchange].Concurrent; users go side by
// side; requests of nobody known are asked at once.
//
// A request waits for its turn without holding one of mirror.in_flight, and its
// mirror.timeout begins when it is sent. In one lane 64 requests may wait, in all
// lanes of a leg 4096, for up to twice mirror.timeout, and they may hold four and
// 64 times the bytes of one body and head; what is beyond that is dropped as
// lost/lane, or goes without the secondary if only its lane is behind. What
// is not mirrored takes no turn. The live path takes one short lock twice.
//
// # Beside another proxy
//
// With tap another proxy serves the callers and sends copies (beside.go). A copy
// is read within bounds, answered 202 whatever becomes of it, and then sent to all
// legs as a shadow, the primary included; there is no live leg. As the primary is
// asked a second time, an unsafe copy goes to no leg that is not [Own] or [None],
// and to none at all if the primary is not; the others get it once the primary has
// answered and not rejected it. Order is that of arrival.
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
// No leg is asked twice silently. A request whose connection could not be made, or
// of which no byte had been written, goes on to another connection or instance. A
// safe request without a body goes to another instance of the live leg, up to
// twice, when the connection broke before an answer, or once more to the only
// one when that connection had served others (instances.go). Every try is
// counted. Everything else is sent once, also a GET that looks like an act, and
// shadow requests always are.
//
// Nothing unsafe reaches a leg besides the live one that has not declared that
// it may, nor the primary behind a live candidate without a database of its own.
// Whether a request is unsafe says its method, or mirror.endpoints where the
// method does not (declare.go). A GET that looks like an act is not mirrored until
// it is declared (suspicious.go).
// How much is mirrored is bounded by mirror.sample and mirror.max_rps (pace.go), and
// [Mirror.Pause] stops all of it from the next request on (pause.go); [Mirror.Trip] stops
// it to one leg, whose writes as a shadow were found where they must not be (trip.go).
// So does the watchdog, where it finds that the live leg is slower with mirroring (watchdog.go,
// detector.go).
// What a leg calls in turn carries a signed role mark, so that another Parallax
// on the way keeps a shadow's calls from a primary's state, and a request that
// goes in circles is answered 508 (mark.go).
//
// # Missed writes
//
// A leg whose state is [Own] lacks each unsafe request that the live leg took and it did
// not (gap.go). With Deps.Spools those that surely were not executed there are kept,
// encrypted, and sent one by one in the order of their lane, or of all where users
// are not kept in order, once the leg may be asked again; what comes meanwhile in
// such a lane goes behind them (missed.go, catchup.go, package spool). The answers pair
// identifiers and are not compared. What nobody may send again taints its user, or
// the path that it was about. Until a lane has caught up, and for what is tainted, an
// exchange is marked [parallax.Exchange].Lag and is not comparable, whatever was answered.
//
// # Another configuration
//
// A configuration at work is one immutable value behind one pointer, which
// [Mirror.Prepare] builds and [Change.Commit] swaps (reload.go). A request keeps
// the value that it began with to its end, shadow legs included; the last one
// closes what only that value used. A leg whose configuration is the same goes
// on with its connections, and so do the step and the endpoints that were learnt.
//
// # Endpoints
//
// An endpoint is declared (Service.Endpoints, an OpenAPI document), or learned of
// the paths that come (learn.go): values of known shapes become classes at once,
// a place with many values becomes {name} from then on, and the rest is "METHOD
// other". What was learned outlasts a reload and not a restart, after which it is
// learned anew and may differ where the order of the paths does. At a path of
// GraphQL's the body names the operation: the exchange is received as POST
// /graphql, and when it settles the [Ledger] takes it to its operation's endpoint
// (operation.go). Metrics of single calls stay with the former.
//
// # Legs
//
// A leg is a pool of instances, which package upstream finds, checks and shares
// requests out among. A shadow request passes a gate on its way (gate.go): a
// leg that gives no answers, or gets more than its max_rps, is not asked, and the
// exchange is lost/breaker_open or lost/rate_limited.
//
// # How HTTP is spoken
//
// Package h1 parses and writes HTTP/1.1; server_http.go and client_http.go put it
// behind the seam in wire.go, and no other file knows of it. There, heads pass as they
// came: order, case and repeats of fields, the raw target, informational answers
// at once, trailers. What cannot be read in one way only is answered 400 or the
// like, counted in parallax_refused_total, and reaches neither this package's
// core nor a leg; it does not count as received.
//
// Of a request every leg gets the target byte by byte, and of its fields those that
// are end to end, where they stood; but for what is declared of it (rewrite.go).
// What Parallax adds comes after them: Te: trailers, X-Forwarded-For with what the
// caller sent of it, X-Forwarded-Proto, X-Forwarded-Host and Traceparent where the
// caller sent none, Baggage, and X-Parallax-*. An answer passes without
// additions, a Date neither.
//
// The live leg gets the traceparent of the caller, or one of a trace that begins
// here, whose trace id is the exchange's id. Each shadow leg gets one of the same trace
// with a parent of its own: the last eight bytes of the exchange's id, the first two
// bits of which say the leg (11 the primary, 00 the candidate, 01 the secondary). So a
// service that passes the header on as it came, into a comment of its SQL for one, says
// which request of which leg it works for, also where both legs have one database. One
// that begins spans of its own keeps the trace alone. What another service's shadow
// calls keeps the traceparent it came with ([parallax.Traceparent]).
//
// A caller that sent Expect: 100-continue gets its 100 when the live leg has
// agreed, or after a second in which the leg said nothing. A caller that takes
// longer than the service's timeouts allow is cut off (timeouts.go). That a caller
// left is noticed within a quarter of a second at first and within a second later
// on; where the kernel is not Linux, only once something is written to it. A caller
// that closes its sending side alone counts as gone, as it does with net/http and
// nginx: nothing tells it from one that left.
//
// # HTTP/2
//
// HTTP/2 is net/http's, on both sides (server_h2.go; sender.go, client_h2.go and
// call_h2.go). Callers speak it by ALPN, or in the clear by prior knowledge; a leg
// is spoken to by what its protocol says. It loses some of what HTTP/1.1 keeps:
// fields pass sorted by name (by a leg's request: in any order), the values of one
// name in their order, of User-Agent only the first; names are written as in
// Content-Type where HTTP/1.1 is spoken and in lower case where HTTP/2 is; Cookie is
// one field towards HTTP/1.1 and one per cookie towards HTTP/2; request trailers
// pass if they were announced; and a caller that sent Expect gets its 100 when its
// body is first read, whatever the leg thinks of it. Targets, methods, hosts, values,
// informational answers and the trailers of answers pass as they came. An answer that
// breaks off resets its stream. Requests over the limits of a head are answered 431,
// and those that can be read in two ways (two hosts, a length that is not the body's,
// a host in the target) 400, both counted in parallax_refused_total; what breaks the
// protocol ends its stream or connection and is not. Extended CONNECT (WebSocket over
// HTTP/2) is not offered; who asks for it nevertheless has the stream reset.
package mirror
