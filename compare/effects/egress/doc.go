// Package egress is a forward proxy for the calls that the legs of a service make:
// mails, payments, messages to other services. A shadow's calls go nowhere unless they
// are allowed, and whatever either version tries is an effect of its exchange, so that a
// mail that the candidate sends twice is found.
//
// A service is pointed at it with HTTP_PROXY and HTTPS_PROXY, and names its leg as the
// user: http://candidate@127.0.0.1:7080. Calls come in absolute form, or as CONNECT;
// what is in such a tunnel is encrypted and not seen.
//
// # Who calls
//
// A genuine role mark in baggage ([Mark]) says whether a call is made for a live request
// or for a shadow's, and for which exchange. Without one a call of the primary counts as
// live, for nothing that served until now shall break, and one of any other leg as a
// shadow's. A header X-Parallax-Role that says shadow is believed, one that says live is
// not. The exchange is told by the mark, by X-Parallax-Exchange, by the password that the
// client gave the proxy, or by traceparent, the first of these that is there; else
// nobody knows it.
//
// # What a call may do
//
// A shadow's call goes on only if the list in allow has its host, port and method. The
// live leg's go anywhere, unless live: allow says otherwise. Neither reaches this
// machine, link-local addresses or those where clouds keep their metadata, whatever a
// name resolves to, unless they are allowed by name; the address that was checked is the
// one that is dialled.
//
// # Why it lies here
//
// To the joiner a leg's calls are one more log, beside those of its databases:
// [Proxy.Reader] is an [effects.Reader], so that barrier, settle time and gaps hold for
// calls as for rows. A call is in the log once the head of its answer is there, or it
// was refused. So this is a leaf of compare/effects like the other sources; that mirror
// signs the marks is cmd's to know.
//
// # Bounds
//
// Heads, bodies that are kept, calls and tunnels at a time, connections, what waits to be
// read by the joiner and what is remembered of answers have a bound each; see the
// constants beside them. Past the bound of the log the joiner is told of a gap.
package egress
