package divergence

import (
	"hash/maphash"
	"strings"
	"sync"

	"parallax"
)

// hotRequests tells requests that were sent so often that further ones are no evidence: who
// asks one question a thousand times knows one answer. It is decided before the exchange is
// compared, by what was asked alone, so that what counts does not depend on what is found.
//
// A request counts until it makes up more than its share of what was counted of its endpoint,
// and at least [everyRequest] times. Of each endpoint the counts of the [hotCounters] most
// frequent requests are kept, as Misra and Gries do (1982): they are too low by at most one
// in hotCounters of all. The counts are this process's; after a restart each request may count
// anew. Its methods may be called from any goroutine.
type hotRequests struct {
	seed maphash.Seed

	mu    sync.Mutex
	known map[tickKey]*hotEndpoint // no more than maxEntries
}

// How requests are counted.
const (
	everyRequest = 20   // times each counts, whatever its share
	hotCounters  = 1024 // requests of an endpoint that are counted one by one
)

// hotEndpoint is what was counted under one key of the evidence.
type hotEndpoint struct {
	n        uint64 // exchanges that count
	requests map[uint64]uint64
}

func newHotRequests() *hotRequests {
	return &hotRequests{seed: maphash.MakeSeed(), known: map[tickKey]*hotEndpoint{}}
}

// counts reports whether an exchange is evidence, and takes note of it if so. A share of 1
// has each count.
func (h *hotRequests) counts(x *parallax.Exchange, key tickKey, share float64) bool {
	if share >= 1 {
		return true
	}
	request := h.request(x)
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.known[key]
	if e == nil {
		if len(h.known) >= maxEntries {
			clear(h.known)
		}
		e = &hotEndpoint{requests: map[uint64]uint64{}}
		h.known[key] = e
	}
	if n := e.requests[request]; n >= everyRequest && float64(n) >= share*float64(e.n+1) {
		return false
	}
	e.count(request)
	return true
}

func (e *hotEndpoint) count(request uint64) {
	e.n++
	if _, known := e.requests[request]; known || len(e.requests) < hotCounters {
		e.requests[request]++
		return
	}
	for other, n := range e.requests { // once in as many new requests as there are counters, at most
		if n == 1 {
			delete(e.requests, other)
		} else {
			e.requests[other] = n - 1
		}
	}
}

// request is what tells one request from another: what is asked, and by whom. Two that are the
// same to the service are the same here, but for headers other than those that name the caller.
func (h *hotRequests) request(x *parallax.Exchange) uint64 {
	call := x.Legs[x.Live]
	for l := 0; call == nil && l < parallax.Legs; l++ {
		call = x.Legs[l]
	}
	if call == nil {
		return 0
	}
	var m maphash.Hash
	m.SetSeed(h.seed)
	say := func(text string) {
		m.WriteString(text)
		m.WriteByte(0)
	}
	q := &call.Request
	say(q.Method)
	say(q.Target)
	for _, f := range q.Headers {
		if strings.EqualFold(f.Name, "Authorization") || strings.EqualFold(f.Name, "Cookie") {
			say(f.Value)
		}
	}
	m.Write(x.User[:])
	m.Write(q.Body.Bytes)
	if q.Body.Cut {
		m.Write(q.Body.SHA256[:])
	}
	return m.Sum64()
}
