package debezium

// recent remembers what was noted lately: at least the last n things, at most twice as
// many.
type recent[K comparable, V any] struct {
	n        int
	now, old map[K]V
}

func newRecent[K comparable, V any](n int) recent[K, V] {
	return recent[K, V]{n: n, now: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	if v, ok := r.now[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if len(r.now) >= r.n {
		r.old, r.now = r.now, make(map[K]V, r.n)
	}
	r.now[k] = v
}
