// Package divergence takes exchanges from a queue to ClickHouse and answers what
// reports and pages ask about them.
//
// # The way of an exchange
//
//	queue -> Worker -> Recorder -> Store
//
// A [Worker] receives exchanges from a [Source], compares each with the [Judge]
// of its service and takes the secrets out of everything that will be stored. A
// [Recorder] holds what came of it until there is enough, or a second has
// passed (three where exchanges are many), and writes a batch. A [Store] is ClickHouse: the engine inside
// ([parallax/divergence/embedded]) or a server, with the same client and SQL. The
// schema is in schema/*.sql, with a word on every table.
//
// Nothing in here waits for the store while somebody waits for it. While the
// store is away the recorder's buffer fills, within its [Limits]; then exchanges
// are lost, and counted so. Questions fail with [ErrAway].
//
// # Counted once, and nothing missing
//
// The [Ledger] knows where every exchange is. Whoever takes a step moves the
// exchange from one [parallax.Place] to the next, so that at any moment
//
//	received = unmirrored + compared + lost + in flight
//
// A batch is written in steps: counts, differences, bodies, comparisons, ticks.
// A step that fails is tried again with the same rows under the same token, and
// the table drops what it has seen, also across a kill of the engine. Only the
// acknowledged row in comparisons moves an exchange from the batch to its end.
//
// [Recorder.Summary] is what a report is made of: it keeps batches waiting, reads
// the store, adds what the ledger holds and the store does not, and leaves out
// rows whose acknowledgement it has not heard. So its numbers add up to the unit
// while traffic flows. [Store.Summary] reads the store alone. Both read every
// compared exchange of their window. A verdict, which is read every second, asks
// [Recorder.Totals], which reads a running total of each instance and whose cost
// does not grow with traffic or time.
//
// An exchange counts as received in the store together with its end. A process
// that is killed takes what it had in flight with it on both sides of the
// equation.
//
// # Evidence
//
// With every batch go its [Tick]s: what was counted of each endpoint since the
// batch before, kept apart by the hashes of the endpoint's rules and of the
// policy and by both versions. Ticks are append-only and a verdict is a fold over
// them, so that it can be computed again from what is stored. What people change
// are [Decision]s, append-only too.
//
// # Rules
//
// The store keeps every set of rules that was in force ([RuleSet]) and what each
// rule took away by endpoint and day ([RuleCount]). A [Rehearsal] tries rules on
// stored pairs: a dry run, judging anew, a look for blind spots. It is for people
// and writes nothing.
//
// # Restarts
//
// What the noise model of a [Judge] has learnt is in memory only. A process that
// starts anew has to learn it again, and until then differences at noisy places
// may count that did not before, or the reverse at places that were blamed. What
// was counted stays as it is: noise is judged when an exchange is compared.
//
// # Bounds
//
// The buffer, a batch, the counts of a batch, the endpoints and minutes of the
// ledger, and the exchanges whose bodies are kept (keep.go says which) are all
// capped. So are the rows of differences (repeats.go): of each issue a few hundred
// an hour. Further exchanges that show it are counted by the minute, so that an
// [Issue] still says in how many it is; their ids are not listed with it.
//
// Every compared exchange has a row. It takes about 30 bytes on disk, a row of a
// difference about 16, its values apart (BenchmarkDisk): 1 000 exchanges a second
// are 2.5 GB a day. Rows go after 30 days, so they come to 75 GB at most; sample
// what is mirrored where that is too much. Bodies come to at most 256 MiB an hour
// before compression. Evidence goes after a year, decisions and totals never. A
// [Quota] keeps all of it within a size: the oldest bodies go before their time,
// then the oldest rows, and the table dropped says how many.
//
// # Testing
//
// The tests run against the engine inside. With PARALLAX_TEST_CLICKHOUSE set to
// the address of a server (clickhouse://user:password@host:9000) those that do
// not kill their engine run there, each in a database of its own.
package divergence
