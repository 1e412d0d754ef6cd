// Package data is how both versions of the shop speak to PostgreSQL: a pool, the
// migrations of a schema, and transactions that carry the mark of the request they
// belong to.
//
// A transaction that writes says in one of two ways which request it belongs to.
// With [Tag] its first statement is
//
//	SELECT pg_logical_emit_message(true, 'parallax', <X-Parallax-Exchange>)
//
// With [Comments] each of its statements that changes rows ends in a comment as
// sqlcommenter writes it, /*traceparent='00-...'*/, and nothing else is different. What
// only reads is not marked.
package data
