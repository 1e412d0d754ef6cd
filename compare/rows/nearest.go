package rows

import "parallax"

// kind is what two rows have to have in common before they are held against each other.
type kind struct {
	table string
	op    parallax.Op
}

func (n *node) kind() kind { return kind{n.row.Table, n.row.Op} }

// trait is something that a row says: the value of a column, or which pair it refers to.
type trait struct {
	kind
	column, text string
	pair         int // -1 for a value
}

// traits lists what a row says that another one may say, too.
func (g *graph) traits(n *node, each func(trait)) {
	for i := range n.constants {
		if c := &n.constants[i]; !c.null && !c.loose {
			each(trait{n.kind(), c.name, c.text, -1})
		}
	}
	for _, e := range n.edges {
		if partner := g.nodes[e.to].partner; partner >= 0 {
			each(trait{n.kind(), e.name, "", min(e.to, partner)})
		}
	}
}

// proposal is a pair of rows, and how much of what they say they have in common.
type proposal struct {
	i, j  int
	share float64
	sure  bool // what else may be paired does not change that
}

// nearest pairs the rows of one table and effect that have most in common, if that is at
// least half of what they say or they are the only ones left, and reports whether there
// were any. Once the budget is spent it pairs what it can, and reports that there are none.
func (g *graph) nearest() bool {
	if g.budget <= 0 {
		for _, p := range g.proposals() {
			g.propose(p)
		}
		return false
	}
	list := g.proposals()
	if len(list) == 0 {
		return false
	}
	best := list[0]
	for _, p := range list {
		if p.share > best.share {
			best = p
		}
	}
	g.propose(best)
	for _, p := range list {
		if p.sure && p.share == best.share && g.nodes[p.i].kind() == g.nodes[best.i].kind() {
			g.propose(p)
		}
	}
	return true
}

// propose pairs two rows, if neither is paired.
func (g *graph) propose(p proposal) {
	if g.nodes[p.i].partner < 0 && g.nodes[p.j].partner < 0 {
		g.pair(p.i, p.j)
	}
}

// proposals returns for each row of the primary that is not paired the one of the
// candidate's that has most in common with it. Only rows that share the rarest thing that it
// says are tried, 64 at most.
func (g *graph) proposals() []proposal {
	says := map[trait][]int{}
	left := [2]map[kind][]int{{}, {}}
	for _, i := range g.open(-1) {
		n := &g.nodes[i]
		left[n.leg][n.kind()] = append(left[n.leg][n.kind()], i)
		if n.leg == candidate {
			g.traits(n, func(t trait) { says[t] = append(says[t], i) })
		}
	}
	var out []proposal
	tried := map[trait]int{}
	for _, i := range g.open(primary) {
		n := &g.nodes[i]
		rarest := trait{kind: n.kind(), pair: -2}
		others := left[candidate][n.kind()]
		if len(others) == 0 {
			continue
		}
		only := len(others) == 1 && len(left[primary][n.kind()]) == 1
		g.traits(n, func(t trait) {
			if list := says[t]; len(list) > 0 && len(list) < len(others) {
				rarest, others = t, list
			}
		})
		p := g.proposal(i, others, tried[rarest])
		tried[rarest]++ // Rows that say the same are not all held against the same ones.
		if p.share >= 0.5 || only {
			out = append(out, p)
		}
	}
	return out
}

// proposal holds a row against 64 others, from the one at an index on.
func (g *graph) proposal(i int, others []int, from int) proposal {
	n := &g.nodes[i]
	p, most := proposal{i: i}, -1
	for k := range min(len(others), maxTried) {
		j := others[(from+k)%len(others)]
		if common := g.common(i, j); common > most {
			p.j, most = j, common
		}
	}
	other := &g.nodes[p.j]
	p.share = float64(most) / float64(max(len(n.constants)+len(n.edges), len(other.constants)+len(other.edges), 1))
	p.sure = len(others) == 1 || g.settled(i) && g.settled(p.j)
	return p
}
