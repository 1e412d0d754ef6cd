// Package verify compares the tables of two PostgreSQL databases that should hold the
// same, whatever each calls its tables and columns: what two versions of a service did
// to their data in weeks, beside what each single exchange did.
//
// # How
//
// Each table is cut into segments of its key. Of a segment each database returns one
// line: how many rows it has, and the sum of the hashes of their values, written in one
// form: numbers by value (1.0 is 1), documents without regard to order and space, times
// in UTC. A segment that differs is halved until its rows are few enough to be read.
// Rows that differ are judged as effects are (package compare), by the service's rules.
// Then they are looked at once more, a few seconds later: what was different because
// one side lags is no difference.
//
// # Keys
//
// What names a row alike in both databases is, in this order: the columns under key in
// effects.tables; the primary key or another unique key that neither database makes up
// (identity, sequence, random default, or listed under generated). Foreign keys that
// lead to made-up keys are compared by the key of the row that they lead to, or by what
// it holds if it has none. Without a common key rows are compared as a multiset of all
// else they hold, summed up in buckets of its hash; so are tables whose keys the two
// databases put in different orders. [Table.By] and [Table.Notes] say what was done.
//
// # Young rows
//
// Rows that differ are left out, and counted, if they were changed less than min_age
// ago: by a column of theirs (age in effects.tables), else by the time of the commit,
// where the server keeps it (track_commit_timestamp = on, which takes a restart), else
// by watching: the second look comes after min_age, and a row that any transaction changed
// since the comparison began is too young. A row that was deleted has no age: only the second
// look waits for it.
//
// # Load
//
// Each database has one connection with one statement at a time, in a read-only
// transaction on one snapshot. Snapshots are renewed every minute, so that they do not
// keep the database from cleaning up; a table that is read in buckets needs one for the
// whole of it. A statement that takes longer than it should is followed by a pause as
// long as it took, and the next one reads half as much; none may take longer than a
// bound. [Options.Rate] caps the rows read in a second.
package verify
