// Package ids knows values that each leg makes up by itself: order numbers,
// session tokens, ETags. What they stand for is the same on all legs, so that a
// request that names one of them is translated before another leg gets it, and
// answers are compared by what their values stand for.
//
// A [Config] declares an identifier: where its values are born (from) and where
// they are named (in). [Compile] makes a [Set] of them. A Set finds values in
// requests ([Set.InRequest]) and answers ([Set.InAnswer]); it is pure. What was
// learned is kept by a [Map], in memory ([Memory]) or shared by several processes
// (package redis below). A [View] holds what is known of the values of one
// exchange, so that comparing needs no Map.
//
// # Places
//
// All places are as the leg sees them, after its rewrite rules:
//
//	path:/orders/{id}      a segment of the request's path; * is any other segment, /** at the end any rest
//	location:/orders/{id}  the same in the Location of an answer
//	query:NAME             a parameter of the query
//	header:NAME            a header; of "Bearer abc", or of any other scheme, abc
//	cookie:NAME            a cookie, in Cookie or Set-Cookie
//	$.order_id             a value in a JSON or form body
//	path, query, body      any segment, parameter or value of 64 bits and more (see [Bits])
//
// A method and a template may go first, so that only those requests, or their
// answers, are looked at: "POST /orders $.id".
package ids
