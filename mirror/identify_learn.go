package mirror

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"parallax"
	"parallax/internal/ids"
)

// learners are the answers of which it is not known yet what they make up. What a
// request names may be in any that had begun when it came in.
type learners struct {
	last    atomic.Uint64 // number of the latest learner
	waiting atomic.Int64  // shadow requests that wait for an identifier

	mu   sync.Mutex
	open map[*learning]struct{} // no more than exchanges under way
}

// learning is one such answer.
type learning struct {
	number uint64
	over   chan struct{} // closed when its values are known, or will not be
}

// begin notes an answer. It takes one short lock, on the live path.
func (ls *learners) begin() *learning {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := &learning{number: ls.last.Add(1), over: make(chan struct{})}
	if ls.open == nil {
		ls.open = map[*learning]struct{}{}
	}
	ls.open[l] = struct{}{}
	return l
}

// end says that an answer's values are known, or will not be.
func (ls *learners) end(l *learning) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if _, ok := ls.open[l]; ok {
		delete(ls.open, l)
		close(l.over)
	}
}

// await waits until the answers up to a number are looked into, or the context ends. It
// reports whether there was any.
func (ls *learners) await(ctx context.Context, upTo uint64) (any bool) {
	for _, l := range ls.upTo(upTo) {
		any = true
		select {
		case <-l.over:
		case <-ctx.Done():
			return any
		}
	}
	return any
}

func (ls *learners) upTo(number uint64) (out []*learning) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.open {
		if l.number <= number {
			out = append(out, l)
		}
	}
	return out
}

// born is a value that a leg made up with its answer.
type born struct {
	id    *ids.Identifier
	place int // of the identifier's list
	ref   ids.Ref
}

// expectNames is called with the head of the live answer, before the caller sees any
// of it: if the answer may make up an identifier, later requests wait for what it
// is. Fast path: where none is declared, a look at the names of the headers
// (BenchmarkMirrored).
func (f *flight) expectNames(c *parallax.Call) {
	if f.reason != "" || f.rpc != nil {
		return
	}
	if f.service.ids.Bears(f.live.name, c.Request.Method, c.Request.Target) || namesInHeaders(c.Response.Headers) {
		f.naming.learner.Store(f.m.learners.begin())
	}
}

// expectNamesOfCopy is expectNames for a copy that another proxy sent. Its caller
// may have an answer already, and what the primary will make up is not known yet.
func (f *flight) expectNamesOfCopy() {
	if f.reason == "" && f.service.ids.Declared() {
		f.naming.learner.Store(f.m.learners.begin())
	}
}

// namesInHeaders reports whether headers hold an identifier that is built in.
func namesInHeaders(headers []parallax.Field) bool {
	return slices.ContainsFunc(headers, func(h parallax.Field) bool {
		switch len(h.Name) {
		case 4:
			return sameName(h.Name, "ETag") || sameName(h.Name, "Link")
		case 13:
			return sameName(h.Name, "Last-Modified")
		}
		return false
	})
}

// liveNames is called when the live leg is done. What its answer made up is read in
// a goroutine of its own: neither the caller nor its next request waits for it.
func (f *flight) liveNames() {
	learner := f.naming.learner.Load()
	if learner == nil {
		return
	}
	if !f.dispatched || f.reason != "" {
		f.m.learners.end(learner)
		return
	}
	if f.live == nil {
		return // the primary is not done
	}
	f.pending.Add(1)
	go func() {
		defer f.leave()
		defer f.m.learners.end(learner)
		defer f.noteDefect()
		f.learn(f.live.name)
	}()
}

// shadowNames is called when a shadow leg is done, before what waits for it goes on.
func (f *flight) shadowNames(l *leg) {
	f.learn(l.name)
	if l.name == f.reference() {
		f.endLearning()
	}
}

// endLearning lets those go on that wait for what the answer makes up.
func (f *flight) endLearning() {
	if learner := f.naming.learner.Load(); learner != nil {
		f.m.learners.end(learner)
	}
}

// learn reads what a leg's answer made up, and notes what is known by now: values of
// the reference are pending, and those of others are their partners.
func (f *flight) learn(l parallax.Leg) {
	ref := f.reference()
	values := f.bornOn(l)
	if l != ref && f.endpoint.safe && f.lag.Load() != nil {
		values = nil // Of other data: what stands at the same place, such as a cursor, means something else.
	}
	f.naming.mu.Lock()
	defer f.naming.mu.Unlock()
	n := &f.naming
	n.values[l], n.done[l] = values, true
	n.known = n.known || l == ref
	if l == ref {
		f.note(f.pendingFacts(values))
	}
	f.pairUp()
}

// bornOn returns the values that a leg made up with its answer.
func (f *flight) bornOn(l parallax.Leg) []born {
	c, keep := f.x.Legs[l], f.captures[l]
	if c == nil || c.Err.Kind != parallax.NoError || f.rpc != nil {
		return nil
	}
	if !f.service.ids.Declared() && !namesInHeaders(c.Response.Headers) {
		return nil // Fast path: nothing is declared (BenchmarkMirrored)
	}
	answer := parallax.Response{Status: c.Response.Status, Headers: c.Response.Headers}
	if keep != nil {
		answer.Body = keep.body()
	}
	sheet := f.service.ids.On(l, c.Request.Method, c.Request.Target).As(f.in.Target)
	var out []born
	for _, s := range sheet.BornIn(&answer) {
		out = append(out, born{s.Identifier, s.Index, s.Ref(l)})
	}
	return out
}

func (f *flight) pendingFacts(values []born) (facts []ids.Fact) {
	for _, v := range values {
		for _, l := range f.service.legs {
			if l != nil && l.name != v.ref.Leg {
				facts = append(facts, ids.Fact{Ref: v.ref, To: l.name, State: ids.Pending, TTL: v.id.TTL})
			}
		}
	}
	return facts
}

// pairUp notes the partners of the reference's values on legs that have answered.
// The lock of naming is held.
func (f *flight) pairUp() {
	n, ref := &f.naming, f.reference()
	if !n.known {
		return
	}
	for l := range n.done {
		if to := parallax.Leg(l); to != ref && n.done[l] && !n.settled[l] {
			n.settled[l] = true
			facts := pairs(n.values[ref], n.values[l], to, f.knownPairs(n.values[ref], n.values[l], to))
			f.m.differing.see(f.endpoint.name, facts)
			f.note(facts)
		}
	}
}

// differing holds of which identifiers an endpoint's legs were seen to call one thing by two
// values. There a value that nobody paired, such as the cursor of an answer that was not
// mirrored, is not guessed to stand for itself.
type differing struct{ seen sync.Map } // of guess; no more than endpoints times identifiers and legs

type guess struct {
	endpoint, name string
	leg            parallax.Leg
}

// see looks at what was learned of the answers of an endpoint.
func (d *differing) see(endpoint string, facts []ids.Fact) {
	for _, fact := range facts {
		if fact.State == ids.Paired && fact.Partner != fact.Value {
			d.seen.LoadOrStore(guess{endpoint, fact.Name, fact.To}, true)
		}
	}
}

// standsForItself reports whether a value that nobody paired is sent to a leg as it is.
func (d *differing) standsForItself(endpoint string, s ids.Spot, leg parallax.Leg) bool {
	if s.Same && s.Guessed {
		_, differs := d.seen.Load(guess{endpoint, s.Name, leg})
		return !differs
	}
	return s.Same
}

// bornPlace is where an answer makes values up: a line of an identifier's list.
type bornPlace struct {
	id    *ids.Identifier
	place int
}

func byPlace(values []born) map[bornPlace][]born {
	out := map[bornPlace][]born{}
	for _, v := range values {
		at := bornPlace{v.id, v.place}
		out[at] = append(out[at], v)
	}
	return out
}

// pairs returns what two answers say of each other's values. Those of one place are
// partners in their order, if both have as many of them there; others have none. Where
// a pair is known that is not a pair by that order, the known ones stay, and only a
// last one that is left over on both sides is learned: the order tells nothing.
func pairs(reference, other []born, to parallax.Leg, known map[ids.Ref]ids.Ref) []ids.Fact {
	var facts []ids.Fact
	others := byPlace(other)
	for at, list := range byPlace(reference) {
		partners := others[at]
		if len(partners) == len(list) && contradicts(list, partners, known) {
			list, partners = unpaired(list, known), unpaired(partners, known)
			if len(list) > 1 {
				partners = nil
			}
		}
		for i, v := range list {
			fact := ids.Fact{Ref: v.ref, To: to, State: ids.Failed, TTL: v.id.TTL}
			if len(partners) == len(list) {
				fact.State, fact.Partner = ids.Paired, partners[i].ref.Value
			}
			facts = append(facts, fact)
		}
	}
	return facts
}

// contradicts reports whether values that stand in one order are known to have other
// partners.
func contradicts(list, partners []born, known map[ids.Ref]ids.Ref) bool {
	for i, v := range list {
		mine, paired := known[v.ref]
		theirs, also := known[partners[i].ref]
		if paired && mine != partners[i].ref || also && theirs != v.ref {
			return true
		}
	}
	return false
}

func unpaired(list []born, known map[ids.Ref]ids.Ref) (out []born) {
	for _, v := range list {
		if _, paired := known[v.ref]; !paired {
			out = append(out, v)
		}
	}
	return out
}

// knownPairs returns the pairs that are known already of values that two answers have,
// as far as the answers need not have made them up: where a place has several, of which
// nobody knows in which order, and in what answers a request that changes nothing. A
// candidate that answers with the wrong record must not change what its number stands
// for. What is built in, such as the ETag of an URL, is always what it was last.
func (f *flight) knownPairs(reference, other []born, to parallax.Leg) map[ids.Ref]ids.Ref {
	var refs []ids.Ref
	for _, values := range [][]born{reference, other} {
		for at, list := range byPlace(values) {
			if at.id.Own || len(list) == 1 && !safe(f.in.Method) {
				continue
			}
			for _, v := range list {
				refs = append(refs, v.ref)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(f.m.shadows, f.service.options.Timeout)
	defer cancel()
	known := map[ids.Ref]ids.Ref{}
	for some := range slices.Chunk(refs, maxLearned) {
		entries, err := f.m.ids.Find(ctx, some...)
		if err != nil {
			return nil // It cannot be told either what the pairs are now.
		}
		for i, e := range entries {
			leg := to
			if some[i].Leg == to {
				leg = f.reference()
			}
			if p := e[leg]; p.State == ids.Paired {
				known[some[i]] = ids.Ref{Name: some[i].Name, Leg: leg, Value: p.Value}
			}
		}
	}
	return known
}

// maxLearned is how many facts a map is told at once, so that nobody else waits long.
const maxLearned = 1000

// note tells the map. One that is away counts it, and it costs the comparison of
// what names these.
func (f *flight) note(facts []ids.Fact) {
	if len(facts) == 0 {
		return
	}
	f.countStrangers(facts)
	ctx, cancel := context.WithTimeout(f.m.shadows, f.service.options.Timeout)
	defer cancel()
	for some := range slices.Chunk(facts, maxLearned) {
		if f.m.ids.Learn(ctx, some...) != nil {
			return
		}
	}
}

// settleNames says that legs that have not answered by the end will not: what waits
// for their values is told.
func (f *flight) settleNames() {
	f.endLearning()
	n := &f.naming
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known && len(n.values[f.reference()]) > 0 {
		for _, l := range f.service.legs {
			if l != nil {
				n.done[l.name] = true
			}
		}
		f.pairUp()
	}
	f.x.Unmapped = n.unmapped
	slices.Sort(f.x.Unmapped)
}
