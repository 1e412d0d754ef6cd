package divergence

import (
	"sync"
	"time"

	"parallax"
	"parallax/compare"
)

// Which exchanges keep their bodies, in each hour: of every issue the first 50
// exchanges in which it counts, the first 5 in which it was suppressed; of every
// endpoint the first 10 that match and the first 10 for each reason that made
// them not comparable; and of everything together no more than 256 MiB. Those that
// find no room in the recorder's buffer are not kept.
const (
	keepDiverged     = 50
	keepSuppressed   = 5
	keepMatched      = 10
	keepIncomparable = 10
	keepBytes        = 256 << 20
	keepKeys         = 20_000 // what is remembered; without room, nothing is kept
)

// keeper decides which exchanges keep their bodies, and which of their differences
// get rows.
type keeper struct {
	mu    sync.Mutex
	hour  int64
	bytes int64
	kept  map[keepKey]int    // exchanges with bodies
	rows  map[keepKey]int    // rows of differences
	said  map[keepKey]string // how the place of a difference is shown, redacted
}

// keepKey is what examples are counted by: a fingerprint with what became of the
// difference, or an endpoint with the outcome and its reason.
type keepKey struct {
	service, what, how string
}

// keep reports whether the exchange keeps its bodies, and counts it if so.
func (k *keeper) keep(x *parallax.Exchange, c compare.Comparison) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turnTo(x.Received)
	if key := (keepKey{x.Service, x.Endpoint, "match"}); c.Outcome == compare.Match && len(c.Differences) == 0 && k.kept[key] >= keepMatched {
		return false // Fast path: most exchanges of most services (BenchmarkExchange)
	}
	size := bodyBytes(x)
	if k.bytes+size > keepBytes {
		return false
	}
	wanted := false
	for _, w := range wants(x, c) {
		if n := k.kept[w.key]; n < w.most && (n > 0 || len(k.kept) < keepKeys) {
			k.kept[w.key]++
			wanted = true
		}
	}
	if wanted {
		k.bytes += size
	}
	return wanted
}

// turnTo begins a new hour if that time is in one. One of the hour before is counted
// in this one; what is earlier says that the clock was set back.
func (k *keeper) turnTo(received time.Time) {
	if hour := received.Unix() / 3600; hour > k.hour || hour < k.hour-1 || k.kept == nil {
		k.hour, k.bytes, k.kept, k.rows, k.said = hour, 0, map[keepKey]int{}, map[keepKey]int{}, map[keepKey]string{}
	}
}

type want struct {
	key  keepKey
	most int
}

// wants lists what the exchange would be an example of.
func wants(x *parallax.Exchange, c compare.Comparison) []want {
	switch c.Outcome {
	case compare.Match:
		out := []want{{keepKey{x.Service, x.Endpoint, "match"}, keepMatched}}
		return append(out, wantDifferences(x, c)...)
	case compare.Diverged:
		return wantDifferences(x, c)
	}
	return []want{{keepKey{x.Service, x.Endpoint, c.Reason}, keepIncomparable}}
}

func wantDifferences(x *parallax.Exchange, c compare.Comparison) []want {
	seen := map[keepKey]bool{}
	var out []want
	for _, d := range c.Differences {
		w := want{keepKey{x.Service, d.Fingerprint, d.Suppressed.By}, keepDiverged}
		if d.Suppressed.By != "" {
			w.most = keepSuppressed
		}
		if !seen[w.key] {
			seen[w.key] = true
			out = append(out, w)
		}
	}
	return out
}

// bodyBytes is about how much memory and disk the bodies of an exchange take.
func bodyBytes(x *parallax.Exchange) int64 {
	var n int64
	for _, c := range x.Legs {
		if c == nil {
			continue
		}
		n += int64(len(c.Request.Body.Bytes) + len(c.Response.Body.Bytes) + len(c.Request.Target) + 256)
		for _, list := range [][]parallax.Field{c.Request.Headers, c.Request.Trailers, c.Response.Headers, c.Response.Trailers} {
			for _, f := range list {
				n += int64(len(f.Name) + len(f.Value))
			}
		}
		n += effectBytes(c.Effects)
	}
	return n
}
