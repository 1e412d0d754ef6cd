// Package upstream is a leg as a pool: a set of instances that changes over time,
// and which of them a request goes to.
//
// # Which instance
//
// A [Set] is asked with [Set.Pick], on every request, and answers from one
// immutable list behind an atomic pointer: no lock, no allocation. Whatever
// changes the list (an address that came or went, a health check, an ejection)
// builds a new one beside it. [Policy] says how the list is shared out.
//
// An instance is left out while its health check fails, and while it is ejected:
// after so many failures in a row, for a time that doubles with every ejection.
// A failure is no answer, or a broken one; an instance that answers 500 answers.
// No more than a share of the instances is ejected, and never the last that is
// up. When all are down, all of them are used: a health check that is wrong about
// everything must not take a service down that works.
//
// # Where addresses come from
//
// An address is written down, or found by a [Finder]: the A and AAAA records of a
// name, its SRV records, or a catalogue such as Consul's. Every address that is
// found is an instance of its own, up to [MaxInstances] a leg; the rest is left
// out, in order of priorities and addresses, so that every Parallax leaves out the same. A
// failure, and an answer without any address, keep the last good list. An instance
// that is still found keeps its state and its connections; one that is not is no
// longer picked, and what it was asked before goes on to its end.
package upstream
