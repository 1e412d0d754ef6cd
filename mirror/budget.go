package mirror

import "sync/atomic"

// DefaultBudget bounds the bytes that copies of bodies may hold in one process
// before they are handed to the queue: 256 MiB.
const DefaultBudget = 256 << 20

// Budget is a number of bytes shared by all copies in flight. Its methods never
// block and may be called from many goroutines.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget of max bytes.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Reserve takes n bytes and reports whether there was room for them.
func (b *Budget) Reserve(n int64) bool {
	if b.used.Add(n) <= b.max {
		return true
	}
	b.used.Add(-n)
	return false
}

// Release gives back n bytes that were reserved.
func (b *Budget) Release(n int64) { b.used.Add(-n) }

// InUse returns the bytes that are reserved.
func (b *Budget) InUse() int64 { return b.used.Load() }
