// Package redisqueue is the queue between mirrors and workers that are processes
// of their own: a Redis stream with one consumer group.
//
// # The way of an exchange
//
//	Offer -> buffer in memory -> stream -> Receive -> Ack
//
// Offer never waits: it puts the exchange into a bounded buffer, from which Send
// sends it. The exchange is encoded, compressed (zstd) and encrypted (AES-256-GCM)
// before it leaves the process; what stands in Redis in the clear is the endpoint
// and the minute of receipt. The stream is bounded by count and by bytes: what does
// not fit in is refused, never trimmed, since trimming drops what a worker holds
// without a word.
//
// While Redis does not answer, what was offered waits in the buffer and, where
// there is a folder for it, in bounded files there. What has no room is refused,
// and whoever offered it counts it as lost.
//
// # At least once
//
// An exchange stays in the stream until it is acknowledged, which the worker does
// once it is stored. The holder of exchanges says every few seconds that it still
// has them. Those of a worker that was killed are taken over by another after
// [Config.ClaimAfter]; what the store knows of already is then acknowledged and not
// compared again. An exchange that was given to [maxDeliveries] workers, none of
// which came to an end with it, goes to a second stream, the dead letters, and is
// lost{poison}.
//
// # What Redis must be
//
// One with maxmemory-policy noeviction: another one drops the whole stream, or
// other keys, when memory is short. Open does not connect; [Queue.Check] says so.
// A Redis that forgets at a restart (no appendonly) forgets what is in the stream:
// [Queue.Cells] tells what is left, so that the rest can be counted as lost.
package redisqueue
