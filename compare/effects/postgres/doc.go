// Package postgres reads what is committed to chosen tables of a PostgreSQL database,
// version 14 or newer, from its log.
//
// # What it needs
//
// A server with wal_level logical, one replication slot and one walsender to spare,
// a role with REPLICATION, and a publication that holds the listed tables.
// [Check] names what is missing, with the SQL that mends it. The publication is
// made, and tables are added to it, where the role owns them; it never is one of all
// tables, and never gets a table whose rows cannot be named, because updates of such a
// table would fail. The connection string leads to the server itself, not to a pooler.
//
// # What it leaves in the database
//
// Nothing but the publication. The slot is temporary: it ends with its connection, so
// that no log piles up for somebody who is gone. The price is an honest gap whenever
// the connection is lost: from the last time at which all was known to be read, until
// the next slot exists. Making a slot waits for the transactions that are open in the
// whole server; the gap then says for which. Every five seconds the reader looks
// whether each table still is in the publication, since an online migration may have
// put another table in its place; if not, there is a gap since the look before. If the
// server has to keep more of its log for the slot than Source.MaxLag, because the reader is
// behind or a transaction stays open, the slot is given up, which is a gap too, and the next
// one begins at the end of the log.
//
// # Barrier
//
// [Reader.Position] is where the log is written next, so all that was committed lies
// before, also by sessions that do not wait for the disk (synchronous_commit off). Only
// what is on the disk is streamed. If a position is not reached within 20 ms and the
// disk is what it waits for, the reader commits an empty message of its own, which
// takes the log before it to the disk: one transaction id each time, and only while
// somebody waits. The stream is as far as a commit that it brought, or as the server's
// keepalives say, which come whenever the server has nothing more to decode.
//
// # Rows
//
// An image holds what the log holds. Of an update without replica identity FULL the
// values before are not known but for the key; a long value (TOAST) that did not change
// is not known unless the identity is FULL. The key is the replica identity, or the
// primary key where the identity is FULL. Of a partitioned table changes carry the
// table's name. Generated columns are not in the log. What a transaction changes beyond
// 10 000 rows or 16 MiB is left out, and it says so; a row of more than 64 MiB is a gap.
//
// # Tags
//
// A transaction belongs to an exchange by messages with the prefix parallax:
//
//	SELECT pg_logical_emit_message(true, 'parallax', '<X-Parallax-Exchange>')
//
// For services that carry sqlcommenter's comments, or set parallax.exchange, [Install]
// adds a trigger that writes the message. A statement that was prepared with a comment
// carries that comment whenever it is executed, so its traceparent soon stands for
// several exchanges, and explains none.
package postgres
