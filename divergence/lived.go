package divergence

// Live is what callers newly got of one endpoint from either leg.
type Live struct {
	Service, Endpoint  string
	Primary, Candidate Lived
}

// list is how a store holds it: nothing at all where there is none.
func (l Lived) list() []uint64 {
	if l == (Lived{}) {
		return nil
	}
	return []uint64{l.N, l.Failed, l.Timed, l.Slow}
}

// livedOf reads it; what is of no such length is nothing.
func livedOf(list []uint64) Lived {
	if len(list) != 4 {
		return Lived{}
	}
	return Lived{list[0], list[1], list[2], list[3]}
}
