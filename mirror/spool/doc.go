// Package spool keeps the writes that a shadow leg with a database of its own has
// missed, in order, until the leg gets them; and it remembers of what it never will
// that the leg's state is another.
//
// # Order
//
// A write waits in the lane of its user, or in one lane for all where users are not
// kept in order. A lane is caught up one write at a time, the oldest first. What misses
// its turn takes its place with [Spool.Reserve] at once, before what comes after it can
// be sent, and is kept, dropped or given up later. As long as anything waits in a lane,
// its further writes go behind it ([Spool.Lag]).
//
// # Never twice
//
// That a write is about to be sent is in the journal before it is sent, and so is how it
// ended. What a process that was killed had begun and not ended may have been
// executed: it is not sent again, its state is tainted.
//
// # On disk
//
// Each process writes a journal of its own, in a folder for the service and the leg, and
// holds a lock on it. A journal that nobody holds was left by a process that has ended:
// it is taken over, at the start and then within a second. Every record is sealed with
// AES-256-GCM under a random nonce, and bound to the service and the leg; what is
// tainted is noted by keyed hashes. A record is with the operating system before it counts,
// so that a killed process loses nothing; it is synced to disk once a second, so that
// a machine that loses power may lose the last second, and may then send a write of
// that second again. The last record of a journal may be incomplete after that, and is
// cut off. One that was changed otherwise is not guessed at: it is an error.
//
// All of it is bounded: bytes on disk by [Spool.SetMax], bytes on their way there by
// 64 MiB, what is tainted by 65536 users and entities, after which the leg is as a whole.
package spool
