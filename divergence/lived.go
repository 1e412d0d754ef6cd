package divergence

import (
	"encoding/json"
	"fmt"
)

// Live is what callers newly got of one endpoint from either leg.
type Live struct {
	Service, Endpoint  string
	Primary, Candidate Lived
	Writes             []LiveWrite
}

// LiveWrite is how many requests of either leg changed one table in one way.
type LiveWrite struct {
	Table     string `json:"table"` // by the primary's name
	Op        string `json:"op"`
	Primary   Wrote  `json:"primary"`
	Candidate Wrote  `json:"candidate"`
}

// Wrote counts the requests of a leg whose changes are known.
type Wrote struct {
	N     uint64 `json:"n"`
	None  uint64 `json:"none"`  // of N: those with no such change
	Sized uint64 `json:"sized"` // of the others: those that there was a usual number for
	Other uint64 `json:"other"` // of Sized: those with another number than the primary's usual one of before
}

// Plus returns both together.
func (w Wrote) Plus(x Wrote) Wrote {
	return Wrote{w.N + x.N, w.None + x.None, w.Sized + x.Sized, w.Other + x.Other}
}

// list is how a store holds it: nothing at all where there is none. Releases that know of
// four figures only read nothing where there are six.
func (l Lived) list() []uint64 {
	switch {
	case l == (Lived{}):
		return nil
	case l.Read+l.Unread == 0:
		return []uint64{l.N, l.Failed, l.Timed, l.Slow}
	}
	return []uint64{l.N, l.Failed, l.Timed, l.Slow, l.Read, l.Unread}
}

// livedOf reads it; what is of no such length is nothing.
func livedOf(list []uint64) Lived {
	switch len(list) {
	case 4:
		return Lived{N: list[0], Failed: list[1], Timed: list[2], Slow: list[3]}
	case 6:
		return Lived{list[0], list[1], list[2], list[3], list[4], list[5]}
	}
	return Lived{}
}

// writesText is how a store holds what live legs wrote.
func writesText(list []LiveWrite) string {
	if len(list) == 0 {
		return ""
	}
	text, _ := json.Marshal(list) // plain values always encode
	return string(text)
}

// writesOf reads it.
func writesOf(text string) (list []LiveWrite, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("cannot read what live legs wrote: %w", err)
	}
	return list, nil
}
