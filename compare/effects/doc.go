// Package effects joins what the legs' databases committed to the exchanges that
// caused it.
//
// A [Reader] reads one database's log and hands [Transaction] after transaction, in
// the order of their commits, to a [Sink]. The sink of a service is the joiner: it
// keeps what was read for a while, finds the exchange of each change by the
// service's correlations, and gives the worker, once an exchange's barrier has
// passed and its settle time is over, all that each leg did. What no exchange
// explains is counted by table: background work is a finding too.
//
// # Barrier
//
// After an answer nobody sleeps for its effects. Every 20 ms, if exchanges wait,
// a reader is asked for the position that covers everything committed until now
// ([Reader.Position]); when it has passed that position, every exchange answered
// before the question has all of its effects but what is committed after the
// answer. For those there is the settle time. What comes later still is late: it is
// stored with its exchange, and not compared.
//
// # Rows of others
//
// What an exchange wrote may name a row that another one made: an item of an order. Which
// order of the other leg that is, is known once the rows of that exchange were matched,
// and that may be over later. So the joiner notes what each transaction made up until its
// exchange is learnt from; an exchange that names any of it is held back until then,
// and those that wait for it in turn. One that waits in vain is not comparable, since it
// names what has no partner, whatever it did.
//
// # Gaps
//
// A reader that loses its connection has a gap: from the last position it passed
// until it reads again. Exchanges that overlap a gap are not comparable,
// effects_unknown, whatever was answered. There is no slot left behind that would
// fill the database's disk.
//
// How two sets of effects are compared is compare's business, which is pure; this
// package is not.
package effects
