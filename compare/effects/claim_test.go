package effects

import (
	"testing"

	"parallax"
)

// TestAColumnClaimsWhatWroteIt: a row that was made by an earlier exchange names that one,
// and says nothing of who changes it now.
func TestAColumnClaimsWhatWroteIt(t *testing.T) {
	t.Parallel()
	on := correlations{columns: []string{"request_id"}}
	earlier, now, third := parallax.ID{1}, parallax.ID{2}, parallax.ID{3}
	says := func(id parallax.ID) []parallax.Column {
		text := id.String()
		return []parallax.Column{{Name: "total"}, {Name: "request_id", Value: &text}}
	}
	insert := func(id parallax.ID) Change { return Change{Op: parallax.Insert, After: says(id)} }
	update := func(id parallax.ID) Change { return Change{Op: parallax.Update, After: says(id)} }
	knowing := func(was, id parallax.ID) Change {
		return Change{Op: parallax.Update, Before: says(was), After: says(id)}
	}
	null := Change{Op: parallax.Update, Before: []parallax.Column{{Name: "request_id"}}, After: says(now)}
	for name, c := range map[string]struct {
		changes []Change
		want    parallax.ID
		torn    bool
	}{
		"made":                                  {[]Change{insert(now), insert(now)}, now, false},
		"made, and another row is changed":      {[]Change{update(earlier), insert(now), update(third)}, now, false},
		"changed, and nobody knows from what":   {[]Change{update(earlier)}, earlier, false},
		"changed, and it had it before":         {[]Change{knowing(earlier, earlier)}, parallax.ID{}, false},
		"changed, and it had another":           {[]Change{knowing(earlier, now), update(earlier)}, now, false},
		"changed, and it had none":              {[]Change{null, knowing(third, third)}, now, false},
		"two that are written":                  {[]Change{insert(now), knowing(earlier, third)}, now, true},
		"two, and nobody knows what is written": {[]Change{update(earlier), update(third)}, earlier, true},
	} {
		got := on.claimOf(&Transaction{Changes: c.changes})
		if got.id != c.want || got.torn != c.torn {
			t.Errorf("%s: %s, torn: %t", name, got.id, got.torn)
		}
	}
}
