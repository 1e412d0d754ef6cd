// Package debezium takes effects from change events: those of Debezium, which reads
// the logs of databases that Parallax has no reader of its own for (MySQL, MariaDB and
// others), and a plain envelope for what a service sends to the outside.
//
// An [Inbox] stands for one leg of a service. [Inbox.Take] parses a body and queues its
// events, all of them or none; each [Reader] of the inbox is an [effects.Reader], which
// puts the events of one database together to transactions. Beside the databases' there
// is [Inbox.Outbox], the reader of plain envelopes.
//
// # Events
//
// A body is one event or an array. An event is Debezium's envelope, by itself, as
// {schema, payload}, or inside a CloudEvent in JSON (structured mode); a record
// {key, value} of two such halves; or a plain envelope {exchange, sink, op, key, value}.
// With the schema at hand, values are read by their Debezium and Kafka Connect types
// and come out as the reader of PostgreSQL writes them; without it by their JSON types.
//
// # Transactions
//
// With provide.transaction.metadata an END event says how many events its transaction
// has, and the transaction is complete once so many have come, in whatever order.
// Without, it is complete when nothing of it has come for the source's quiet time. What
// comes later still becomes a transaction of its own with the tags of the first.
// Duplicates are dropped by source, position, transaction and order, as far back as
// the last 100 000 events.
//
// A change of a key, which Debezium tells as a deletion and an insertion at one
// position, is one update again. Snapshot reads are no effects.
//
// # What the barrier is worth
//
// Debezium tells what it has read, not how far the database has come. So a [Reader]'s
// position is a time: what was committed before it has been handed over if Debezium
// delivers within [Source].Delay of the commit. That is an assumption, and there is no
// proof behind it; a slower event is late. To notice that Debezium has stopped, a
// source that has been silent for [Source].Silence has a gap until it is heard again:
// its heartbeats have to be on.
package debezium
