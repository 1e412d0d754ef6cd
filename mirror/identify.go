package mirror

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// This file and identify_learn.go are about identifiers: values that each leg makes
// up by itself. What an answer has is learned off the live path; a shadow request
// that names the live leg's value gets that of its own leg.

// Bounds of identifiers.
const (
	maxNaming     = 4096    // shadow requests of one mirror that wait for an identifier
	maxNamedBody  = 8 << 20 // bytes of a request body after its coding was taken off
	maxNamedGrown = 2       // how many times its length a body may become
)

// naming is what a flight knows of identifiers. The legs are called by the values
// they made up; those of the reference are what requests name: the live leg's, or,
// beside another proxy, the primary's.
type naming struct {
	before uint64 // learners of answers that may have gone before the request

	learner atomic.Pointer[learning] // open while the reference's values are not known; nil while its answer makes up nothing

	mu       sync.Mutex              // never taken on the live path: it is held while the map is told
	known    bool                    // the reference's values are
	values   [parallax.Legs][]born   // of legs that have answered
	done     [parallax.Legs]bool     // likewise
	settled  [parallax.Legs]bool     // what the leg's answer pairs with has been learned
	prepared [parallax.Legs]*renamed // shadow requests with other values than the caller's
	unmapped []string
}

// renamed is a shadow request with other values than the caller's: the leg's own
// identifiers, or masked ones.
type renamed struct {
	target  string
	headers []parallax.Field
	body    []byte
	other   bool // the body is not the caller's
}

// mapOf returns where the pairs of a service are kept.
func (d Deps) mapOf(service string) ids.Map {
	dropped := func(reason string) { d.Metrics.droppedIdentifier(service, reason) }
	if d.IDs != nil {
		return d.IDs(service, dropped)
	}
	return ids.NewMemory(ids.DefaultLimits, d.Now, dropped)
}

// reference returns the leg whose values requests name.
func (f *flight) reference() parallax.Leg {
	if f.live == nil {
		return parallax.Primary
	}
	return f.live.name
}

// mayName reports whether the request may name an identifier. Fast path: where none
// is declared, only headers and a query can (BenchmarkMirrored).
func (f *flight) mayName() bool {
	if f.service.ids.Declared() {
		return true
	}
	if i := strings.IndexByte(f.in.Target, '?'); i >= 0 && ids.HasCursor(f.in.Target[i:]) {
		return true
	}
	return slices.ContainsFunc(f.in.Headers, func(h parallax.Field) bool {
		return len(h.Name) > 3 && (h.Name[0] == 'I' || h.Name[0] == 'i') && (h.Name[1] == 'f' || h.Name[1] == 'F') && h.Name[2] == '-'
	})
}

// nameAndAsk gives a shadow request the leg's own identifiers, and then asks the
// leg. It waits for those that are on their way, and holds none of
// mirror.in_flight meanwhile.
func (f *flight) nameAndAsk(l *leg) {
	defer f.leave()
	defer f.noteDefect()
	unmapped, withhold, why := f.rename(l)
	switch {
	case why != "":
		f.passOver(l, why)
		return
	case len(unmapped) > 0 && !f.needs(l):
		f.miss(l)
		f.endTurn(l)
		f.x.Legs[l.name] = f.notAsked(l, notNamedText(unmapped))
		return
	case len(unmapped) > 0:
		f.markUnmapped(unmapped)
	}
	if withhold {
		f.miss(l)
		f.endTurn(l)
		f.x.Legs[l.name] = f.notAsked(l, notNamedText(unmapped))
		return
	}
	f.askNow(l)
}

func notNamedText(names []string) string {
	return "the request names an identifier that the leg has no partner for: " + strings.Join(names, ", ")
}

// markUnmapped notes that the exchange cannot be compared, and counts it.
func (f *flight) markUnmapped(names []string) {
	f.naming.mu.Lock()
	defer f.naming.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(f.naming.unmapped, name) {
			f.naming.unmapped = append(f.naming.unmapped, name)
			f.m.deps.Metrics.unmappedIdentifier(f.service.name, name)
		}
	}
}

// rename finds what the request names and what the leg calls it. withhold says that
// it is not to be sent: it writes, and a value that may be another's on the leg has
// no partner.
func (f *flight) rename(l *leg) (unmapped []string, withhold bool, why parallax.Place) {
	request := parallax.Request{Method: f.in.Method, Target: f.in.Target, Host: f.in.Host, Headers: f.headersFor(l, shadow)}
	if err := l.rewriting.apply(&request); err != nil {
		return nil, false, "" // the call will say so
	}
	content, coded := f.plainBody()
	spots := f.service.ids.On(l.name, request.Method, request.Target).As(f.in.Target).InRequest(&request, content)
	if len(spots) == 0 {
		return nil, false, ""
	}
	partners, over := f.partners(l, spots)
	if over {
		return nil, false, parallax.LostShutdown
	}
	edits, unmapped, risky := choose(spots, partners, func(s ids.Spot) bool { return f.m.differing.standsForItself(f.endpoint.name, s, l.name) })
	if len(spots) == ids.MaxSpots { // further ones would stay the caller's
		edits, unmapped, risky = nil, []string{spots[len(spots)-1].Name}, true
	}
	if len(edits) > 0 {
		n := &renamed{}
		n.body = ids.Rewrite(&request, content, edits)
		n.target, n.headers = request.Target, request.Headers
		if n.other = len(content) > 0 && (coded || string(n.body) != string(content)); n.other {
			n.headers = ofOtherBody(n.headers, coded)
			if len(n.body) > maxNamedGrown*len(content)+bufferSize || !f.m.deps.Budget.Reserve(int64(cap(n.body))) {
				return nil, false, parallax.UnmirroredBudget
			}
		}
		f.naming.mu.Lock()
		f.naming.prepared[l.name] = n
		f.naming.mu.Unlock()
	}
	return unmapped, risky && !f.ending().safe, ""
}

// ofOtherBody returns the headers of a request whose body was replaced: without
// digests of the caller's, and without its coding if that was taken off.
func ofOtherBody(headers []parallax.Field, uncoded bool) []parallax.Field {
	return fieldsThat(func(name string) bool {
		return !contains(bodyDigests, name) && !(uncoded && sameName(name, "Content-Encoding"))
	}, headers)
}

// bodyDigests are headers that a server may check the body by (RFC 9530, RFC 3230,
// RFC 2616).
var bodyDigests = []string{"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"}

// ending is the endpoint in the end.
func (f *flight) ending() *endpoint {
	if f.refined != nil {
		return f.refined
	}
	return f.endpoint
}

// plainBody returns the request's body without its coding, and whether it had one.
// A body whose coding cannot be taken off names nothing.
func (f *flight) plainBody() (content []byte, coded bool) {
	if f.body == nil || !f.service.ids.Declared() {
		return nil, false
	}
	encoding := strings.Join(values(f.in.Headers, "Content-Encoding"), ",")
	if encoding == "" {
		return f.body.copy.bytes, false
	}
	content, err := body.Decode(encoding, f.body.copy.bytes, maxNamedBody)
	if err != nil {
		return nil, false
	}
	return content, true
}

// partners returns what is known of the values on a leg, in their order. What may be
// in an answer that went before is waited for, as long as the identifiers say. over
// says that a shutdown ended the wait.
func (f *flight) partners(l *leg, spots []ids.Spot) (out []ids.Partner, over bool) {
	wait := time.Duration(0)
	refs := make([]ids.Ref, len(spots))
	for i, s := range spots {
		refs[i] = s.Ref(f.reference())
		wait = max(wait, orElse(s.Wait, f.service.options.Timeout))
	}
	ctx, cancel := context.WithTimeout(f.m.shadows, wait)
	defer cancel()
	out = f.m.look(ctx, refs, l.name)
	waits := f.m.learners.waiting.Add(1) <= maxNaming
	defer f.m.learners.waiting.Add(-1)
	unknown := func(p ids.Partner) bool { return p.State == ids.Unknown }
	if waits && slices.ContainsFunc(out, unknown) && f.m.learners.await(ctx, f.naming.before) {
		out = f.m.look(ctx, refs, l.name)
	}
	if waits && slices.ContainsFunc(out, unknown) && f.m.learnedElsewhere(ctx) {
		out = f.m.look(ctx, refs, l.name)
	}
	for i := range out {
		if out[i].State == ids.Pending && waits {
			if p, err := f.m.ids.Await(ctx, refs[i], l.name); err == nil {
				out[i] = p
			}
		}
	}
	return out, f.m.shadows.Err() != nil
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// learnedElsewhere waits until what answers through other mirrors made up is in the
// map they share. It reports whether there is any such map, and time was left.
func (m *Mirror) learnedElsewhere(ctx context.Context) bool {
	if m.deps.IDsLag <= 0 {
		return false
	}
	timer := time.NewTimer(m.deps.IDsLag)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// look asks the map. Of a map that is away nothing is known, which the map counts:
// then every value has lost its partner.
func (m *Mirror) look(ctx context.Context, refs []ids.Ref, to parallax.Leg) []ids.Partner {
	out := make([]ids.Partner, len(refs))
	entries, err := ids.Find(ctx, m.ids, refs)
	for i := range out {
		if err != nil {
			out[i].State = ids.Failed
			continue
		}
		out[i] = entries[i][to]
	}
	return out
}

// choose returns the edits of a request, and the names of what has no partner. Where
// several identifiers may stand at one place, the first that has a partner does.
// risky says that a value without one may be another's on the leg: it is short, and
// names what the request is about. same says that a value that nobody paired stands for
// itself.
func choose(spots []ids.Spot, partners []ids.Partner, same func(ids.Spot) bool) (edits []ids.Edit, unmapped []string, risky bool) {
	mapped, made := map[ids.Span]bool{}, map[ids.Span]bool{}
	for i, s := range spots {
		p := partners[i]
		made[s.Span] = made[s.Span] || p.State != ids.Unknown
		if value := s.Value(p.Value); p.State == ids.Paired && !mapped[s.Span] && s.Span.Fits(value) {
			mapped[s.Span] = true
			edits = append(edits, ids.Edit{Span: s.Span, Value: value})
		}
	}
	for _, s := range spots {
		if !made[s.Span] && same(s) {
			mapped[s.Span] = true // it stands for itself
		}
	}
	for i, s := range spots {
		if mapped[s.Span] || partners[i].State == ids.Unknown && (s.Bare || same(s)) {
			continue // of a value at a bare place that is not known, this identifier is none
		}
		risky = risky || s.Span.NamesRecord() && ids.Bits(s.Value(s.Key)) < ids.BareBits
		if !slices.Contains(unmapped, s.Name) {
			unmapped = append(unmapped, s.Name)
		}
	}
	return edits, unmapped, risky
}

// putNames gives the call of a shadow leg the identifiers that rename found.
func (f *flight) putNames(l *leg, c *parallax.Call) *renamed {
	f.naming.mu.Lock()
	defer f.naming.mu.Unlock()
	n := f.naming.prepared[l.name]
	if n != nil {
		c.Request.Target, c.Request.Headers = n.target, n.headers
	}
	return n
}

// otherBody returns the body that a leg was sent in place of the caller's.
func (f *flight) otherBody(l parallax.Leg) (b []byte, ok bool) {
	f.naming.mu.Lock()
	defer f.naming.mu.Unlock()
	if n := f.naming.prepared[l]; n != nil && n.other {
		return n.body, true
	}
	return nil, false
}

// releaseNames gives back what bodies with other identifiers took of the budget.
func (f *flight) releaseNames() {
	for _, n := range f.naming.prepared {
		if n != nil && n.other {
			f.m.deps.Budget.Release(int64(cap(n.body)))
		}
	}
}
