package rows

import (
	"cmp"
	"slices"
)

// Options tell what is known of columns and values besides the rows. The zero value
// knows nothing.
type Options struct {
	// Loose says that a column does not tell rows apart, such as one whose differences
	// a rule excuses. Times never do.
	Loose func(table, column string) bool

	// Known returns what the primary calls a value that the candidate made up before,
	// in a column TABLE.COLUMN; with an empty name any column's, of a value that nobody
	// writes by chance.
	Known func(in, value string) (string, bool)

	// Taken reports whether the primary calls something else by a value that the candidate
	// has in a column TABLE.COLUMN, and that [Options.Known] does not know.
	Taken func(in, value string) bool
}

func (o *Options) loose(table, column string) bool { return o.Loose != nil && o.Loose(table, column) }

func (o *Options) known(in, value string) (string, bool) {
	if o.Known == nil {
		return "", false
	}
	return o.Known(in, value)
}

func (o *Options) taken(in, value string) bool {
	return in != "" && o.Taken != nil && o.Taken(in, value)
}

// Pair is two rows that belong together, as indices of the lists that were matched;
// -1 stands for none.
type Pair struct{ Primary, Candidate int }

// Matching is which rows belong together and what follows from that.
type Matching struct {
	Pairs []Pair // by the primary's rows, then those of the candidate alone
	graph *graph
}

// Match pairs the rows of two legs. Tables and columns have the primary's names on
// both sides. Every row is in one pair.
func Match(p, c []Row, know Options) *Matching {
	g := newGraph(p, c, know)
	g.byKey()
	for {
		g.refine()
		if !g.alike() && !g.nearest() {
			break
		}
	}
	return g.matching()
}

func (g *graph) matching() *Matching {
	m := &Matching{graph: g}
	n := len(g.rows[primary])
	for i := range g.nodes {
		partner := g.nodes[i].partner
		switch {
		case i < n && partner < 0:
			m.Pairs = append(m.Pairs, Pair{i, -1})
		case i < n:
			m.Pairs = append(m.Pairs, Pair{i, partner - n})
		case partner < 0:
			m.Pairs = append(m.Pairs, Pair{-1, i - n})
		}
	}
	return m
}

// refine colours the rows that are not paired by what they say and what their
// neighbours are, until no further round tells more of them apart.
func (g *graph) refine() {
	open := g.open(-1)
	for _, i := range open {
		g.nodes[i].colour = g.nodes[i].start
	}
	next := make([]uint64, len(open))
	for classes := 0; g.budget > 0; {
		seen := make(map[uint64]bool, len(open))
		for k, i := range open {
			next[k] = g.look(&g.nodes[i])
			seen[next[k]] = true
		}
		for k, i := range open {
			g.nodes[i].colour = next[k]
		}
		if len(seen) <= classes {
			return
		}
		classes = len(seen)
	}
}

// look returns the colour of a row by its neighbours' colours.
func (g *graph) look(n *node) uint64 {
	g.budget -= 1 + len(n.edges) + len(n.back)
	colour := n.start
	for _, list := range [][]edge{n.edges, n.back} {
		for _, e := range list {
			colour += mix(e.label, g.nodes[e.to].colour)
		}
	}
	return mix(colour, n.start)
}

// open returns the rows of a leg that are not paired, of both for -1.
func (g *graph) open(leg int) []int {
	var out []int
	for i := range g.nodes {
		if g.nodes[i].partner < 0 && (leg < 0 || g.nodes[i].leg == leg) {
			out = append(out, i)
		}
	}
	return out
}

// alike pairs rows of one colour and reports whether there were any. A row that no
// other looks like is paired at once. Of rows that look alike one is paired, and
// then its neighbours are no longer alike; those whose neighbours all are paired already are
// all paired.
func (g *graph) alike() bool {
	groups := map[uint64][]int{}
	for _, j := range g.open(candidate) {
		groups[g.nodes[j].colour] = append(groups[g.nodes[j].colour], j)
	}
	open := g.open(primary)
	count := map[uint64]int{}
	for _, i := range open {
		count[g.nodes[i].colour]++
	}
	paired, tie := false, -1
	for _, i := range open {
		n := &g.nodes[i]
		colour := n.colour
		group := groups[colour]
		alone := g.settled(i)
		switch {
		case len(group) == 0:
		case count[colour] == 1 && len(group) == 1, alone, g.budget <= 0:
			j := g.closest(i, group)
			g.pair(i, j)
			groups[colour] = slices.DeleteFunc(group, func(k int) bool { return k == j })
			paired = true
		case tie < 0:
			tie = i
		}
	}
	if !paired && tie >= 0 {
		g.pair(tie, g.best(tie, groups[g.nodes[tie].colour]))
		paired = true
	}
	return paired
}

// settled reports whether all rows that a row refers to, or that refer to it, are paired.
func (g *graph) settled(i int) bool {
	open := func(e edge) bool { return e.to != i && g.nodes[e.to].partner < 0 }
	return !slices.ContainsFunc(g.nodes[i].edges, open) && !slices.ContainsFunc(g.nodes[i].back, open)
}

// best returns the row of a group of equal colours that another one is paired with so
// that fewest rows are left without one of their colour: colours do not tell a ring of
// six from two rings of three, and what follows from a pair does. Among those it is
// the closest.
func (g *graph) best(i int, group []int) int {
	best, least := -1, 0
	for _, j := range group[:min(len(group), maxTried)] {
		g.pair(i, j)
		g.refine()
		odd := g.odd()
		g.part(i, j)
		if best < 0 || odd < least || odd == least && g.common(i, j) > g.common(i, best) {
			best, least = j, odd
		}
		if g.budget <= 0 {
			break
		}
	}
	return best
}

// odd counts the rows that no row of the other leg is coloured like.
func (g *graph) odd() int {
	balance := map[uint64]int{}
	for i := range g.nodes {
		if n := &g.nodes[i]; n.partner < 0 {
			balance[n.colour] += 1 - 2*n.leg
		}
	}
	odd := 0
	for _, n := range balance {
		odd += max(n, -n)
	}
	return odd
}

// maxTried bounds how many rows one row is held against.
const maxTried = 64

// closest returns the row of a group that has most in common with another one.
func (g *graph) closest(i int, group []int) int {
	tried := group[:min(len(group), maxTried)]
	return slices.MaxFunc(tried, func(a, b int) int { return cmp.Or(g.common(i, a)-g.common(i, b), b-a) })
}

// common counts what two rows say alike: constants, loose ones too, and references to
// rows that belong together.
func (g *graph) common(i, j int) int {
	a, b := &g.nodes[i], &g.nodes[j]
	g.budget -= len(a.constants) + len(a.edges)
	n := 0
	for k := range a.constants {
		if other := b.cell(a.constants[k].name); other != nil && other.equal(&a.constants[k]) {
			n++
		}
	}
	for _, e := range a.edges {
		if to := b.edge(e.name); to >= 0 && g.nodes[e.to].partner == to {
			n++
		}
	}
	return n
}

func (n *node) cell(name string) *cell {
	for i := range n.constants {
		if n.constants[i].name == name {
			return &n.constants[i]
		}
	}
	return nil
}

func (n *node) edge(name string) int {
	for _, e := range n.edges {
		if e.name == name {
			return e.to
		}
	}
	return -1
}
