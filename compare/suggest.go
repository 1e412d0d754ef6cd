package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Observed is what was seen at one place of an endpoint where values differ.
type Observed struct {
	Endpoint string
	Path     string      // normalised, as in [Difference]
	N        int64       // exchanges in which it differs
	Of       int64       // exchanges that were compared
	Values   [][2]string // of the primary and of the candidate, as in [Difference]; a sample
}

// Suggestion is a rule that somebody may want. It is never applied by itself.
type Suggestion struct {
	Endpoint string      `json:"endpoint"`
	Path     string      `json:"path"`
	Rule     Rule        `json:"-"`
	YAML     string      `json:"yaml"`     // the rule with its evidence, for the list of rules
	N        int64       `json:"n"`        // exchanges in which the place differs
	Of       int64       `json:"of"`       // exchanges that were compared
	Looked   int         `json:"looked"`   // pairs of values that were looked at
	Examples [][2]string `json:"examples"` // of the primary and of the candidate, redacted
	Why      string      `json:"why"`
	Caution  string      `json:"caution"` // what is no longer found under the rule
}

// What a place must show before a rule is suggested for it.
const (
	suggestTimes    = 20  // exchanges in which it differs
	suggestShare    = 0.9 // of those that were compared
	suggestDistinct = 0.5 // different values among those looked at, on either side
	suggestExamples = 3
)

// Suggest returns a rule for a place where nearly every exchange differs with values
// that are made up anew each time: a class if all of them are of one, a window if
// they are times not far apart, a tolerance if they are numbers not far apart, and
// else, as the last resort, ignore. Where the values are few, or more exchanges
// agree, the difference looks like a fault, and nothing is suggested; nor where
// values are too long to be known whole.
func Suggest(o Observed) (Suggestion, bool) {
	if o.N < suggestTimes || float64(o.N) < suggestShare*float64(o.Of) || len(o.Values) < suggestTimes/2 {
		return Suggestion{}, false
	}
	values := make([][2]string, len(o.Values))
	for i, pair := range o.Values {
		for side, written := range pair {
			if strings.HasSuffix(written, cutMark) {
				return Suggestion{}, false
			}
			values[i][side] = unquoted(written)
		}
	}
	if !varies(values, 0) || !varies(values, 1) {
		return Suggestion{}, false
	}
	s := Suggestion{Endpoint: o.Endpoint, Path: o.Path, N: o.N, Of: o.Of, Looked: len(values), Examples: o.Values[:min(suggestExamples, len(o.Values))]}
	s.Rule = Rule{Endpoint: o.Endpoint, Path: o.Path}
	s.choose(values)
	s.Rule.Reason = fmt.Sprintf("differs in %d of %d exchanges; %s", o.N, o.Of, s.Why)
	if _, faults := Compile([]Rule{s.Rule}); len(faults) > 0 {
		return Suggestion{}, false // no rule can be about this place
	}
	text, err := RuleText([]Rule{s.Rule})
	s.YAML = text
	return s, err == nil
}

// unquoted returns the value of a JSON string; anything else is what is written.
func unquoted(written string) string {
	var text string
	if strings.HasPrefix(written, `"`) && json.Unmarshal([]byte(written), &text) == nil {
		return text
	}
	return written
}

// varies reports whether the values of one side are mostly made up anew.
func varies(values [][2]string, side int) bool {
	seen := map[string]bool{}
	for _, pair := range values {
		seen[pair[side]] = true
	}
	return float64(len(seen)) >= suggestDistinct*float64(len(values))
}

// choose writes what the rule does, and why.
func (s *Suggestion) choose(values [][2]string) {
	switch class := commonClass(values); class {
	case "":
		s.Rule.Ignore = true
		s.Why = "values of no class in common"
		s.Caution = "the last resort: nothing that is wrong here is found any more"
		if strings.Contains(values[0][0], tokenPrefix) {
			s.Why = "secrets, of which only tokens are kept"
			s.Caution += "; a class such as jwt is better where you know it, identifiers where requests carry the secret"
		}
	case "timestamp":
		if window, ok := apart(values); ok {
			s.Rule.Time = &Time{Within: window}
			s.Why = fmt.Sprintf("times that lie at most %s apart", window)
			s.Caution = "a time that is wrong by less is not found"
			return
		}
		s.class(class)
	case "integer", "number":
		if abs, ok := numbersApart(values); ok {
			s.Rule.Tolerance = &Tolerance{Abs: abs}
			s.Why = "numbers within " + abs + " of each other"
			s.Caution = "a number that is wrong by less is not found"
			return
		}
		s.class(class)
	default:
		s.class(class)
	}
}

func (s *Suggestion) class(name string) {
	s.Rule.Class = name
	s.Why = "values of the class " + name + " on both sides"
	s.Caution = "a wrong value of the same class is not found; if one exchange's value is used in another's request, identifiers are the better way"
}

// commonClass returns the closest class that all values are of; "" for none.
func commonClass(values [][2]string) string {
	for _, name := range ClassNames() {
		all := true
		for _, pair := range values {
			all = all && surely(name, pair[0]) && surely(name, pair[1])
		}
		if all {
			return name
		}
	}
	return ""
}

// surely reports whether a value is of a class and not just any word that happens
// to look like it.
func surely(name, value string) bool {
	switch name {
	case "hex", "base64":
		if len(value) < 16 || !strings.ContainsAny(value, "0123456789") {
			return false
		}
	}
	return HasClass(name, []byte(value))
}

// spans are suggested for times.
var spans = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour,
}

// apart returns the smallest window that is at least twice as long as any two times
// lie apart.
func apart(values [][2]string) (time.Duration, bool) {
	var most time.Duration
	for _, pair := range values {
		p, okP := readTime([]byte(pair[0]), timeLayouts[:2]...)
		c, okC := readTime([]byte(pair[1]), timeLayouts[:2]...)
		if !okP || !okC {
			return 0, false
		}
		most = max(most, p.Sub(c).Abs())
	}
	for _, window := range spans {
		if 2*most <= window {
			return window, true
		}
	}
	return 0, false
}

// nearShare is how far apart two numbers may be, as a share of the larger one, to be
// taken for two measurements of one thing.
const nearShare = 0.1

// numbersApart returns twice the largest distance of two numbers, rounded up to one
// digit; false if some lie far apart.
func numbersApart(values [][2]string) (string, bool) {
	most := 0.0
	for _, pair := range values {
		p, errP := strconv.ParseFloat(pair[0], 64)
		c, errC := strconv.ParseFloat(pair[1], 64)
		distance := math.Abs(p - c)
		if errP != nil || errC != nil || !(distance <= nearShare*max(math.Abs(p), math.Abs(c))) {
			return "", false
		}
		most = max(most, distance)
	}
	if !(most > 0) || most > 1e15 || most < 1e-9 {
		return "", false
	}
	step := math.Pow(10, math.Floor(math.Log10(2*most)))
	return strconv.FormatFloat(math.Ceil(2*most/step)*step, 'f', max(0, int(-math.Floor(math.Log10(step)))), 64), true
}
