// Package h1 speaks HTTP/1.1 on the wire for a proxy that mirrors: message
// heads, framing, bodies and connections, towards callers ([Server], [Request],
// [Writer]) and towards legs ([Pool], [Message], [Response]). It holds no policy:
// which fields are passed on, and what is copied, is for who uses it.
//
// It exists beside net/http for three reasons. A proxy has to pass on what it
// got: the order, case and repeats of fields, the raw target, 1xx answers and
// trailers, all of which a map of headers loses. It must send a request once:
// no byte of a request is ever repeated, which net/http's Transport does when a
// reused connection dies. And it must be cheap, since a mirror handles each
// request several times: one goroutine and no idle buffer per connection, time
// limits without timers, a head read into one string, and a head with its body
// written in one piece.
//
// # What is accepted and refused
//
// Whatever this package accepts, net/http reads as the same method, target, host,
// fields, body and trailers, and whatever net/http refuses, this package refuses;
// FuzzRequest, FuzzResponse and FuzzChunked hold it to that. It refuses more: all
// that two readers could take for two different messages. A caller is answered
// with the status given and the connection is closed; nothing of such a request
// reaches a handler. A leg's answer fails with kind BadAnswer.
//
//	in a head                                          becomes
//	line that ends in LF alone, CR elsewhere           400
//	folded line; space before the colon                400
//	empty name, or bytes other than a token's in it    400
//	control character but tab in a value; NUL, DEL     400
//	Content-Length together with Transfer-Encoding     400
//	two Content-Length, equal or not; a list of them   400
//	length with sign, in hex, empty, over 18 digits    400
//	Transfer-Encoding but one "chunked"; in HTTP/1.0   400
//	Content-Length, Transfer-Encoding in Trailer       400
//	head over MaxHead, over MaxFields lines            431
//
//	in a request alone
//	empty line or anything else before the line        400
//	method that is no token, more than two spaces      400
//	control character, fragment, bad path escape       400
//	target relative, "*" but for OPTIONS, with user    400
//	target over 32 KiB                                 414
//	no Host (but in HTTP/1.0), two of them             400
//	Host that is not a host with an optional port      400
//	version but 1.0 and 1.1                            505
//	Expect but "100-continue" (ignored in HTTP/1.0)    417
//	head that takes longer than Timeouts.Head          408
//	HTTP/2 preface, under TLS without ALPN             505
//	HTTP/2 preface in the clear                        Server.HandOver, or 505
//
//	in an answer alone
//	status other than three digits from 100            BadAnswer
//	101 that nobody asked for                          BadAnswer
//	over 32 informational answers                      BadAnswer
//
//	in a chunked body                                  an error from Read
//	size without digits, signed, over 16 digits        refused
//	size line over 1 KiB, extensions over 4 KiB in all refused
//	line that ends in LF alone, no CR LF after data    refused
//	trailers over 4 KiB, or malformed as in a head     refused
//
// Accepted, since it occurs and cannot be misread: bytes beyond ASCII in targets
// and values, any bytes in a query, spaces and tabs around a value, padding after
// a chunk's size, an answer without a reason, an absolute target (its host wins
// over Host, as RFC 9112 section 3.2.2 asks), fields of any name in trailers but
// those that come too late there (RFC 9110 section 6.5.1), which are left out.
//
// # Time limits
//
// A guard goroutine per Server and per Pool looks at all its connections every
// tick: a quarter of a second for a server, 25 ms for a pool, or a quarter of the
// shortest limit. Limits are kept by atomic stores, never early, and up to two
// ticks late. The context of a request to a leg is asked at the same ticks whether
// it has ended.
//
// # What a request costs
//
// Mostly the kernel's part of it: three writes and three reads that move bytes of
// a mirrored request without a large body, and one read each that finds nothing
// yet. Two things keep it at that. A request that is complete when it is sent is
// written in the callback in which the runtime then waits for its answer, after a
// look whether the connection is still one (converse.go). And sockets, which never
// block, are read and written without telling the scheduler, as sockets and not as
// files, on Linux (syscall_linux.go). Bodies that are still coming, TLS, and
// whatever the kernel does not take at once go through package net.
package h1
