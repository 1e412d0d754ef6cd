package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Bounds of the garbage collector's pace.
const (
	gcRoom    = 128 << 20 // bytes that may be allocated between two collections, at least
	gcPercent = 100       // the runtime's own pace, kept where it gives more room than that
	gcMost    = 3200      // with which the runtime's smallest heap is gcRoom
)

// paceGC lets the heap grow by at least gcRoom before it is collected. What a
// mirror keeps alive is small and what it allocates is not: at the runtime's own
// pace it would collect dozens of times a second (BenchmarkMirrored). Once what
// lives is larger than gcRoom, the pace is the runtime's. Whoever sets GOGC or
// GOMEMLIMIT decides alone.
func paceGC(getenv func(string) string) {
	if getenv("GOGC") == "" && getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcMost)
		adjustAfterGC(gcMost)
	}
}

// adjustAfterGC adjusts the pace after every collection to what it left alive. An
// object that nothing refers to tells of each.
func adjustAfterGC(percent int) {
	sentinel := new([16]byte)
	runtime.AddCleanup(sentinel, func(before int) {
		now := percentFor(alive())
		if now < before-before/8 || now > before+before/8 {
			debug.SetGCPercent(now)
			before = now
		}
		adjustAfterGC(before)
	}, percent)
}

// percentFor returns the pace that gives gcRoom to so many bytes alive.
func percentFor(alive uint64) int {
	return int(min(max(gcRoom*100/max(alive, 1), gcPercent), gcMost))
}

// alive returns what the pace is a percentage of: the bytes that the last
// collection left, and those it started from.
func alive() (bytes uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			bytes += s.Value.Uint64()
		}
	}
	return bytes
}
