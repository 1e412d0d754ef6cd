package compare

import (
	"slices"

	"parallax"
	"parallax/compare/rows"
	"parallax/internal/ids"
)

// EffectRows is what is left of all that the legs of one exchange did to their databases:
// a row for each that they touched, with the primary's names. It does not change.
type EffectRows struct {
	legs [2][]rows.Row // of the primary and the candidate
}

// Rows folds the effects of an exchange into rows.
func (e *EffectTables) Rows(x *parallax.Exchange) *EffectRows {
	out := &EffectRows{}
	for leg := range out.legs {
		if call := x.Legs[leg]; call != nil {
			out.legs[leg] = e.net(parallax.Leg(leg), call.Effects)
		}
	}
	out.legs = rows.Moved(out.legs)
	return out
}

// Needs lists the values in the rows that a database may have made up, with this exchange
// or an earlier one. Before it is known what the other leg calls them, the rows cannot be compared.
func (r *EffectRows) Needs() (refs []ids.Ref) {
	for leg := range r.legs {
		list := r.legs[leg]
		for i := range list {
			for _, columns := range [2][]parallax.Column{list[i].Key, list[i].Columns} {
				for k := range columns {
					if in, value, ok := list[i].Named(&columns[k]); ok {
						refs = append(refs, ids.Ref{Name: effectName(in), Leg: parallax.Leg(leg), Value: value})
					}
				}
			}
		}
	}
	return refs
}

// Refs lists the values that comparing the rows needs a view of: what they name, and what
// the primary calls by a name that the candidate uses, since that may be something else.
func (r *EffectRows) Refs() []ids.Ref {
	refs := r.Needs()
	for _, ref := range refs {
		if ref.Leg == parallax.Candidate {
			refs = append(refs, ids.Ref{Name: ref.Name, Leg: parallax.Primary, Value: ref.Value})
		}
	}
	return refs
}

// Makes lists the values that a leg's database made up with a row of a table.
func (e *EffectTables) Makes(leg parallax.Leg, table string, row []parallax.Column) (refs []ids.Ref) {
	t := e.of(leg, table)
	made := rows.Row{Table: table, Op: parallax.Insert}
	if t != nil {
		made.Table = t.Primary
	}
	for i := range row {
		// Fast path: most columns are not made up (BenchmarkMakes).
		if !row[i].Made && (t == nil || len(t.Generated) == 0) {
			continue
		}
		c := e.column(leg, t, row[i])
		if t != nil && slices.Contains(t.Ignore, c.Name) {
			continue
		}
		in, value, ok := made.Makes(&c)
		if !ok {
			continue
		}
		refs = append(refs, ids.Ref{Name: effectName(in), Leg: leg, Value: value})
		if ids.Bits(value) >= ids.BareBits {
			refs = append(refs, ids.Ref{Name: effectName(""), Leg: leg, Value: value})
		}
	}
	return refs
}
