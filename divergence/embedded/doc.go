// Package embedded runs ClickHouse without a server.
//
// The engine is libchdb, the whole of ClickHouse as a shared library, loaded
// with purego into a child process of this same binary. The child answers the
// part of ClickHouse's HTTP interface that clickhouse-go and curl use, on a unix
// socket in a private directory; so the store is written once, for one client
// and one dialect, and a DSN replaces the child by a server.
//
//	func main() {
//		embedded.Child() // this process may be the engine's child
//		...
//		engine, err := embedded.Start(ctx, embedded.Config{Dir: "parallax-data"})
//		...
//		defer engine.Close()
//		db, err := clickhouse.Open(engine.Options())
//
// # The parent
//
// [Engine] keeps one child running. What goes wrong is a [State] to look at and
// never stops the caller: no libchdb yet, another process on the directory, a
// child that crashes again and again. A child is started 100 ms after the one
// before it ended, and later each time, up to 5 s. [Engine.Options] stay valid
// all along; while the engine is not ready, a query fails at once and says why.
//
// A child that lives and gives no answer is killed and replaced. Every 5 s it is
// asked to open a session and to run SELECT 1 there, past all lanes, so that long
// statements are not taken for a hang; 30 s of silence are.
//
// [Engine.Close] closes a pipe, on which the child ends in an orderly way; the
// same happens when the parent dies of whatever.
//
// # The child
//
// Every request gets a session of its own on the engine, which costs an eighth
// of a millisecond, so settings and parameters never leak from one to the next.
// One statement that writes and three that read run at a time, and up to 64 of
// each wait; more are refused with code 202. The lane is found by the
// statement's first word, and a request is one statement. Rows of an INSERT go
// through a file, whatever their format, since the engine would cut inline rows
// at max_query_size. A statement whose caller has left is killed, but not an
// INSERT whose rows have arrived: writing those is short work.
//
// The child runs niced, with one thread a statement and 2 GiB of memory, and is
// the first to go when the machine is short of memory. A statement is at most
// 1 MiB, an INSERT's rows and an answer 256 MiB each. Time is UTC.
//
// Two things differ from a server: query_id is not known to the engine (it
// chooses its own), and log_comment is taken, since statements are killed by it.
//
// # Reading from outside
//
// With Config.Listen the child answers on a loopback address too, so that
// curl 'http://127.0.0.1:8123/?query=...' and Grafana can read (public.go). Each
// statement runs with readonly = 1 and limits of its own, whatever settings the
// URL asks for; functions that reach files or other machines are refused by name
// besides, and so is what the engine may read in another way than this package.
// One runs at a time, until its answer is sent: two readers and the writer stay the
// parent's. A statement is at most 64 KiB there, and 64 connections are served.
//
// # Several processes
//
// With Config.Socket other processes of the same user reach the engine by [At], for
// everything: a link there leads to the socket. When the process that keeps the engine
// dies the others find nobody, as with a server that is down, until the next has put its
// own link there.
//
// # In the directory
//
// lock is locked by the process that uses the directory; clickhouse/ belongs to
// the engine; incoming/ holds rows of INSERTs for as long as these run. Tables
// live in the database parallax: in the one named default, a file would stand
// for a table of its name.
//
// libchdb exists for Linux with glibc and for macOS, on x86-64 and arm64. [Find]
// says where it is looked for; scripts/setup-libchdb.sh puts it there.
package embedded
