package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Key names a rule by what it does and where, whatever its position, reason, owner
// and last day are: counts of what it took away stay its own when those change.
func (s Rule) Key() string {
	s.Reason, s.Owner, s.Expires = "", "", ""
	text, _ := json.Marshal(s) // texts, numbers and booleans always encode
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// AppliesTo reports whether the rule is for an endpoint.
func (s Rule) AppliesTo(endpoint string) bool { return (&rule{source: s}).appliesTo(endpoint) }

// List returns the rules as they were written, in their order.
func (r *Rules) List() []Rule {
	if r == nil {
		return nil
	}
	out := make([]Rule, len(r.rules))
	for i, each := range r.rules {
		out[i] = each.source
	}
	return out
}

// RuleUse is how many differences a rule took away in one exchange.
type RuleUse struct {
	Key string // of the rule: [Rule.Key]
	N   int
}

// used counts a difference that a rule took away.
func (f *finder) used(r *rule) {
	for i := range f.uses {
		if f.uses[i].Key == r.key {
			f.uses[i].N++
			return
		}
	}
	f.uses = append(f.uses, RuleUse{r.key, 1})
}

// RuleText writes rules as configuration does, a list in YAML, a line each. Reading it gives the same rules again.
func RuleText(rules []Rule) (string, error) {
	var list yaml.Node
	if err := list.Encode(rules); err != nil {
		return "", fmt.Errorf("cannot write rules as text: %w", err)
	}
	for _, each := range list.Content {
		each.Style = yaml.FlowStyle
	}
	if len(list.Content) == 0 {
		return "[]\n", nil
	}
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&list); err != nil {
		return "", fmt.Errorf("cannot write rules as text: %w", err)
	}
	return out.String(), encoder.Close()
}

// DeadAfter is how many exchanges a rule may see without taking anything away
// before it is called dead.
const DeadAfter = 10_000

// Chance is what a rule had to do: how many exchanges of its endpoints were
// compared while it was in force, and how many differences it took away.
type Chance struct {
	Compared    int64 `json:"compared"`
	Differences int64 `json:"differences"`
}

// Unused finds rules that took nothing away in [DeadAfter] exchanges or more.
// Chances are by [Rule.Key]. A rule that does something besides taking differences
// away is never called dead, since nobody counts that.
func Unused(rules []Rule, chances map[string]Chance) []Finding {
	var out []Finding
	for i, s := range rules {
		c := chances[s.Key()]
		if c.Differences > 0 || c.Compared < DeadAfter || !onlySuppresses(&s) {
			continue
		}
		out = append(out, Finding{
			Index: i, Path: fmt.Sprintf("[%d]", i), Check: Dead,
			Text: fmt.Sprintf("it took nothing away in %d compared exchanges since it is in force", c.Compared),
			Hint: "remove it: the day its difference appears, somebody should look at it",
		})
	}
	return out
}

// RuleName names a rule for people as differences do: its position, what it is
// about, why and by whom.
func RuleName(index int, rule Rule) string { return ruleText(index, rule) }
