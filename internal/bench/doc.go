//go:build linux

// Command bench measures Parallax beside the proxies that people put in its
// place: nginx with and without its mirror, and haproxy. All of them stand in
// front of the same backends on this machine, are measured in turns, and what is
// printed are medians of the rounds and ratios within a round. Run it with
// `make bench-mirror`, or `go run ./internal/bench -h`, on Linux: what a process
// costs is read from /proc.
//
// There are five parts:
//
//   - throughput: 64 keep-alive connections of wrk, GET with a 1 KB answer and
//     POST of 4 KB.
//   - faults: an open loop of 2 000 POSTs a second while the candidate is healthy,
//     refuses, hangs, is stopped, answers late or answers 10 MB.
//   - connections: 10 000 keep-alive connections that ask 2 000 times a second in
//     all.
//   - uploads: bodies of 20 MB, under and over the limit of what is mirrored.
//   - deploys: 1 000 requests a second for a minute while Parallax is reloaded every
//     5 s and restarted every 20 s.
//
// Parallax is measured whole: the embedded engine, both answers kept, compared
// and stored. What it lost or did not mirror is printed beside the figures, and
// how long it needed afterwards to finish comparing: its queue is large here, so
// that a burst is not cut off, and a figure is only worth as much as the share
// that was compared.
//
// To see where the time of Parallax goes, write CPU profiles of it with
// -profile FOLDER and read them with `go tool pprof`.
package main
