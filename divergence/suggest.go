package divergence

import (
	"cmp"
	"context"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// SuggestedIdentifiers are values among stored pairs that look as if each leg made
// them up by itself. They are for people, and in force only once they are declared.
type SuggestedIdentifiers struct {
	Service     string           `json:"service"`
	At          time.Time        `json:"at"`
	Pairs       Sample           `json:"pairs"`
	NotKept     int              `json:"not_kept"` // values that were left out of account, since there were too many
	Suggestions []ids.Suggestion `json:"suggestions"`
}

// suggestLimit is how many stored pairs are looked at if nothing else is asked for.
const suggestLimit = 5000

// SuggestIdentifiers looks through stored pairs, the latest first, for values that
// differ between the legs, are one to one, and come back in later requests. It
// fails as [Rehearsal.DryRun] does.
func (r *Rehearsal) SuggestIdentifiers(ctx context.Context, service string, f PairFilter) (SuggestedIdentifiers, error) {
	if _, err := r.find(service); err != nil {
		return SuggestedIdentifiers{}, err
	}
	f.Limit = cmp.Or(f.Limit, suggestLimit)
	var s ids.Suggester
	out := SuggestedIdentifiers{Service: service, At: r.now().UTC(), Suggestions: []ids.Suggestion{}}
	var err error
	out.Pairs, err = r.eachPair(ctx, service, f, func(p *StoredPair, x *parallax.Exchange) {
		s.Add(p.Endpoint, p.Received, x)
	})
	if err != nil {
		return SuggestedIdentifiers{}, err
	}
	out.NotKept = s.Left()
	out.Suggestions = append(out.Suggestions, s.Suggest()...)
	return out, nil
}
