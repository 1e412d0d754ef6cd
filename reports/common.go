package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"parallax/divergence"
)

// Common is what the exchanges that show an issue have in common against others of
// their endpoint, which match: where to look first. It is presentation only, and about
// those exchanges whose bodies are stored.
type Common struct {
	Showing  int64   `json:"showing"`           // stored exchanges that show the issue and were looked at
	Matching int64   `json:"matching"`          // others, which match and do not show it
	Tried    int64   `json:"tried"`             // traits that were looked for
	Traits   []Trait `json:"traits"`            // those that tell the two apart, the clearest first
	Missing  string  `json:"missing,omitempty"` // why nothing can be said
}

// Trait is something about a request, or about how the primary answered it.
type Trait struct {
	Text     string   `json:"text"`           // such as: query page is at least 2
	Showing  int64    `json:"showing"`        // exchanges that have it, of those that show the issue
	Matching int64    `json:"matching"`       // and of those that match
	Also     []string `json:"also,omitempty"` // traits of the very same exchanges
}

const (
	minContrast   = 5    // exchanges on each side, of fewer nothing is said
	maxTraits     = 5    // shown
	maxAlso       = 4    // shown beside one
	maxTried      = 5000 // traits; further ones are not looked at
	maxChance     = 0.01 // that any trait is shown where there is nothing
	maxTraitValue = 80   // bytes of a value that is a trait
	maxCuts       = 15   // places where the numbers of one place are parted
	oneIn         = 2    // a trait is common when at least one in so many exchanges has it
)

// InCommon looks for traits that exchanges which show an issue have, and those which
// match have not. Each is weighed by Fisher's exact test against 1 % shared out among
// all that were tried (Bonferroni), so that where there is nothing to find, something
// is shown in one case of a hundred at most.
func InCommon(showing, matching []divergence.Sampled) Common {
	c := Common{Showing: int64(len(showing)), Matching: int64(len(matching)), Traits: []Trait{}}
	if c.Missing = missingContrast(len(showing), len(matching)); c.Missing != "" {
		return c
	}
	least := (len(showing) + oneIn - 1) / oneIn
	found := traitsOf(append(showing[:len(showing):len(showing)], matching...), least)
	c.Tried = int64(len(found))
	var telling []weighed
	for _, t := range found {
		if w := t.weigh(len(showing), len(matching)); w.showing >= least && w.chance*float64(c.Tried) <= maxChance {
			telling = append(telling, w)
		}
	}
	slices.SortFunc(telling, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.apart, a.apart), cmp.Compare(a.rank, b.rank), cmp.Compare(a.text, b.text))
	})
	c.Traits = likeTraits(telling)
	return c
}

// missingContrast says what there are too few exchanges of.
func missingContrast(showing, matching int) string {
	say := func(n int, of string) string {
		return fmt.Sprintf("Nothing is said about what they have in common: it takes %d stored exchanges %s, and there are %d.", minContrast, of, n)
	}
	switch {
	case showing < minContrast:
		return say(showing, "that show the issue")
	case matching < minContrast:
		return say(matching, "of the endpoint that match")
	}
	return ""
}

// weighed is a trait with how well it tells the sides apart.
type weighed struct {
	trait
	showing, matching int
	chance            float64 // that so much sets them apart by accident
	apart             float64 // share of those that show the issue less that of the others
}

func (t trait) weigh(showing, matching int) weighed {
	w := weighed{trait: t}
	for _, at := range t.in {
		if at < showing {
			w.showing++
		} else {
			w.matching++
		}
	}
	w.chance = fisher(w.showing, showing, w.matching, matching)
	w.apart = float64(w.showing)/float64(showing) - float64(w.matching)/float64(matching)
	return w
}

// likeTraits puts traits of the very same exchanges together, and cuts the list.
func likeTraits(list []weighed) []Trait {
	out := []Trait{}
	at := map[string]int{}
	for _, w := range list {
		key := fmt.Sprint(w.in)
		if i, ok := at[key]; ok {
			if len(out[i].Also) < maxAlso {
				out[i].Also = append(out[i].Also, w.text)
			}
			continue
		}
		if len(out) < maxTraits {
			at[key] = len(out)
			out = append(out, Trait{Text: w.text, Showing: int64(w.showing), Matching: int64(w.matching)})
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
