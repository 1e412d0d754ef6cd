package compare

import "parallax/internal/body"

// What comparing two bodies may cost is counted in steps. A step is a look at a
// value or a line, a rule or an identifier's place tried where up to sixteen levels
// lead to, 512 bytes or 16 cells of an alignment's table compared. The bounds are
// per byte of what is given: both bodies, the rules as text, and 8 for each place of
// an identifier.
const (
	alignPerByte = 32 // beyond, arrays and lines are compared by position
	stopPerByte  = 48 // beyond, the comparison ends where it is and is never a match
	stepsPerByte = 64 // never exceeded: what ends may finish what it is at

	bytesPerPlace = 8
	bytesPerStep  = 512
	cellsPerStep  = 16
	levelsPerStep = 16
	looksPerStep  = 8 // of filters, which have a bound of their own too
)

// meter counts the steps of one comparison. Without bounds it only counts.
type meter struct {
	taken int
	given int // bytes that are compared, and of the rules
	align int // from which on nothing is aligned; 0 is no bound
	most  int // from which on nothing is compared; 0 is no bound
}

// allow returns a meter for two bodies under the rules.
func (f *finder) allow(p, c []byte) *meter {
	given := len(p) + len(c) + bytesPerPlace*f.names.places()
	for _, r := range f.rules {
		given += len(r.encoded)
	}
	return &meter{given: given, align: alignPerByte * given, most: stopPerByte * given}
}

// step counts n steps.
func (m *meter) step(n int) {
	if m != nil {
		m.taken += n
	}
}

// spent reports that no step is left.
func (m *meter) spent() bool { return m != nil && m.most > 0 && m.taken >= m.most }

// mayAlign reports whether alignment may take n steps more.
func (m *meter) mayAlign(n int) bool { return m == nil || m.align == 0 || m.taken+n < m.align }

// mayTake reports whether fewer steps than most have been taken.
func (m *meter) mayTake(most int) bool { return m == nil || most == 0 || m.taken < most }

// left is how many steps may be taken.
func (m *meter) left() int { return max(m.most-m.taken, 0) }

// tries counts rules tried at a place.
func (m *meter) tries(rules int, at *place) { m.step(rules * (1 + len(at.steps)/levelsPerStep)) }

// triesAtDifference is how many rules and places of identifiers are tried at one
// difference: each rule may take it away, those that assert may expect it or keep it
// from being noise, and each place may be that of either value.
func (f *finder) triesAtDifference() int {
	return len(f.rules) + 2*len(f.asks().asserts) + 2*f.names.places()
}

// triesAtValue is how often the hasher tries each rule at one value: whether it is
// excused there, and what it means.
const triesAtValue = 2

// hashSteps returns how many steps hashing the elements takes at least: with rules,
// each is tried at each value.
func (w *walker) hashSteps(elements ...[]element) int {
	nodes := 0
	for k, tree := range []*body.Tree{w.p, w.c} {
		if e := elements[k]; len(e) > 0 {
			nodes += int(tree.Nodes[e[len(e)-1].node].Next - e[0].node)
		}
	}
	return nodes * w.find.hashTries(w.find.masks(), len(w.way))
}

// hashTries is what one value costs the hasher at a depth, besides its length.
func (f *finder) hashTries(masked bool, depth int) int {
	if !masked {
		return 1
	}
	return 1 + triesAtValue*len(f.rules)*(1+depth/levelsPerStep)
}
