package compare

import (
	"slices"
	"strconv"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// ZeroPlaces are places at which one divergence is one too many: paths in an answer,
// such as $.amount, and what is written to a table, such as effects:ledger or
// effects:ledger $.amount. Whatever lies below a place belongs to it.
type ZeroPlaces struct {
	answers []*body.Path
	rows    []zeroRow
}

// zeroRow is a place in what is written; an empty table is any.
type zeroRow struct {
	table   string
	columns *body.Path
}

// ParseZero reads places as a policy writes them. The paths of its faults are
// positions: [0].
func ParseZero(texts []string) (*ZeroPlaces, []parallax.Fault) {
	z := &ZeroPlaces{}
	var faults []parallax.Fault
	for i, text := range texts {
		if err := z.add(text); err != "" {
			faults = append(faults, parallax.Fault{Path: "[" + strconv.Itoa(i) + "]", Text: err,
				Hint: "write a path of answers such as $.amount, effects:TABLE, or effects:TABLE $.COLUMN"})
		}
	}
	return z, faults
}

// add adds a place, or says what is wrong with it.
func (z *ZeroPlaces) add(text string) (wrong string) {
	path, table, row := text, "", false
	if rest, ok := strings.CutPrefix(text, "effects:"); ok {
		row = true
		if table, path, ok = strings.Cut(rest, " "); !ok {
			path = "$"
		}
		if table == "" {
			return "effects: needs a table"
		}
	}
	p, err := body.ParsePath(path)
	if err != nil {
		return err.Error()
	}
	if row {
		if table == "*" {
			table = ""
		} else if strings.Contains(table, "*") {
			return "a table is named whole, or * for all of them"
		}
		z.rows = append(z.rows, zeroRow{table, p})
		return ""
	}
	z.answers = append(z.answers, p)
	return ""
}

// Touched returns the fingerprints of the divergences at these places, each once and
// sorted. A whole document, object or list that differs touches the places in it. Of
// an exchange with more differences than are listed, the first one that counts stands
// for the others. The differences must be as [Compare] returned them, with paths not
// redacted.
func (z *ZeroPlaces) Touched(c *Comparison) []string {
	if z == nil || len(z.answers)+len(z.rows) == 0 || c.Outcome != Diverged {
		return nil
	}
	var out []string
	for i := range c.Differences {
		d := &c.Differences[i]
		if d.Suppressed.By == "" && (c.Truncated && len(out) == 0 || z.touches(d)) {
			out = append(out, d.Fingerprint)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (z *ZeroPlaces) touches(d *Difference) bool {
	rest, row := strings.CutPrefix(d.Normal, "effects:")
	if !row {
		return strings.HasPrefix(d.Normal, "$") && slices.ContainsFunc(z.answers, func(p *body.Path) bool { return touches(p, d.Normal, d) })
	}
	table, path, below := strings.Cut(rest, " ")
	return slices.ContainsFunc(z.rows, func(r zeroRow) bool {
		return (r.table == "" || r.table == table) && (!below || touches(r.columns, path, d))
	})
}

// touches reports whether a place may be the one that differs, lie above it, or
// lie in the value that differs. When in doubt it does.
func touches(place *body.Path, normal string, d *Difference) bool {
	at, err := body.ParsePath(normal)
	if err != nil { // cut, since it is very long
		return true
	}
	if under, _ := body.ParsePath(place.String() + "..*"); place.Meets(at) || under != nil && under.Meets(at) {
		return true
	}
	inside, _ := body.ParsePath(normal + "..*")
	return (compound(d.Primary) || compound(d.Candidate)) && inside != nil && inside.Meets(place)
}

// compound reports whether a value that is shown is an object or a list.
func compound(text string) bool { return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") }
