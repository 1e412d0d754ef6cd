package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"parallax/divergence"
)

// Common is what the exchanges that show an issue have in common against others of
// their endpoint, which do not show it: where to look first. It is presentation only, and
// about those exchanges whose bodies are stored.
type Common struct {
	Showing int64   `json:"showing"`           // stored exchanges that show the issue and were looked at
	Others  int64   `json:"others"`            // others, which do not
	Tried   int64   `json:"tried"`             // traits that were looked for
	Traits  []Trait `json:"traits"`            // those that tell the two apart, the clearest first
	Missing string  `json:"missing,omitempty"` // why nothing can be said
}

// Trait is something about a request, or about how the primary answered it.
type Trait struct {
	Text    string   `json:"text"`           // such as: query page is at least 2
	Showing int64    `json:"showing"`        // exchanges that have it, of those that show the issue
	Others  int64    `json:"others"`         // and of those that do not
	Also    []string `json:"also,omitempty"` // traits of the very same exchanges
}

const (
	minContrast   = 5    // exchanges on each side; of fewer nothing is said
	maxTraits     = 5    // shown
	maxAlso       = 2    // shown beside one
	maxTried      = 5000 // traits; further ones are not looked at
	maxChance     = 0.01 // that any trait is shown where there is nothing
	maxCuts       = 15   // places where the numbers of one place are parted
	commonInOneOf = 2    // a trait is common when at least one in so many exchanges has it
)

// InCommon looks for traits that exchanges which show an issue have, and others have not.
// Each is weighed by Fisher's exact test against 1 % shared out among all that were tried
// (Bonferroni), so that where both sides are dealt by chance, something is listed in one case
// of a hundred at most. What is listed further down tells the sides apart even among the
// exchanges that have all that is listed above it.
func InCommon(showing, others []divergence.Sampled) Common {
	c := Common{Showing: int64(len(showing)), Others: int64(len(others)), Traits: []Trait{}}
	if c.Missing = missingContrast(len(showing), len(others)); c.Missing != "" {
		return c
	}
	least := (len(showing) + commonInOneOf - 1) / commonInOneOf
	found := traitsOf(append(showing[:len(showing):len(showing)], others...), least)
	c.Tried = int64(len(found))
	all := sides{len(showing), nil}
	for i := range len(showing) + len(others) {
		all.among = append(all.among, i)
	}
	for len(c.Traits) < maxTraits {
		telling := all.telling(found, least, maxChance/float64(len(found)))
		if len(telling) == 0 {
			break
		}
		best := telling[0]
		t := Trait{Text: best.text, Showing: int64(best.showing), Others: int64(best.others)}
		for _, w := range telling[1:] {
			if slices.Equal(w.in, best.in) && len(t.Also) < maxAlso {
				t.Also = append(t.Also, w.text)
			}
		}
		c.Traits = append(c.Traits, t)
		all.among = best.in
	}
	return c
}

// missingContrast says what there are too few exchanges of.
func missingContrast(showing, others int) string {
	say := func(n int, of string) string {
		return fmt.Sprintf("Nothing is said about what they have in common: it takes %d stored exchanges %s, and there are %d.", minContrast, of, n)
	}
	switch {
	case showing < minContrast:
		return say(showing, "that show the issue")
	case others < minContrast:
		return say(others, "of the endpoint that do not show it")
	}
	return ""
}

// sides are exchanges by their numbers: those below showing show the issue.
type sides struct {
	showing int
	among   []int // that are looked at, in ascending order
}

// weighed is a trait with how well it tells the sides apart.
type weighed struct {
	trait
	in              []int // of those that are looked at, those that have it
	showing, others int
	apart           float64 // share of those that show the issue less that of the others
}

// telling returns the traits that tell the sides apart, the clearest first. Chance is how
// likely each may be by accident, and least how many that show the issue must have it.
func (s sides) telling(traits []trait, least int, chance float64) (out []weighed) {
	n, m := s.parted(s.among)
	if n < minContrast || m == 0 {
		return nil
	}
	for _, t := range traits {
		w := weighed{trait: t, in: intersection(t.in, s.among)}
		w.showing, w.others = s.parted(w.in)
		if w.showing < least || fisher(w.showing, n, w.others, m) > chance {
			continue
		}
		w.apart = float64(w.showing)/float64(n) - float64(w.others)/float64(m)
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.apart, a.apart), cmp.Compare(a.rank, b.rank), cmp.Compare(a.text, b.text))
	})
	return out
}

// parted counts those that show the issue, and the others.
func (s sides) parted(in []int) (showing, others int) {
	showing, _ = slices.BinarySearch(in, s.showing)
	return showing, len(in) - showing
}

// intersection of two ascending lists.
func intersection(a, b []int) (out []int) {
	for _, i := range a {
		if _, found := slices.BinarySearch(b, i); found {
			out = append(out, i)
		}
	}
	return out
}

// fisher returns how likely at least a of the n exchanges of one side would have a trait
// if the a+b that have it were dealt to both sides by chance, m being on the other: the
// upper tail of the hypergeometric distribution (R. A. Fisher, "The logic of inductive
// inference", Journal of the Royal Statistical Society 98(1), 1935).
func fisher(a, n, b, m int) float64 {
	have, sum := a+b, 0.0
	for k := a; k <= min(n, have); k++ {
		if have-k <= m {
			sum += math.Exp(lnChoose(n, k) + lnChoose(m, have-k) - lnChoose(n+m, have))
		}
	}
	return min(sum, 1)
}

func lnChoose(n, k int) float64 {
	ln := func(v int) float64 { l, _ := math.Lgamma(float64(v) + 1); return l }
	return ln(n) - ln(k) - ln(n-k)
}
