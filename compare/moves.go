package compare

import (
	"parallax"
)

// setMove reads where a value has moved to.
func (r *rule) setMove() []parallax.Fault {
	m := r.source.Move
	if m == nil {
		return nil
	}
	r.to = &rule{}
	if f := r.to.setPlace(m.To); f != nil {
		return []parallax.Fault{{Path: "move.to", Text: f.Text, Hint: f.Hint}}
	}
	if r.place != "" && (r.to.place != r.place || (r.name == "") != (r.to.name == "")) {
		return []parallax.Fault{{Path: "move.to", Text: "is not a place of the same kind as path", Hint: "move a header to a header, a path to a path"}}
	}
	return nil
}
