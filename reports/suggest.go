package reports

import (
	"cmp"
	"context"
	"slices"

	"parallax/compare"
	"parallax/divergence"
)

// Differences is what suggestions are made from.
type Differences interface {
	Issues(ctx context.Context, service string, f divergence.IssueFilter) ([]divergence.Issue, error)
	PlaceValues(ctx context.Context, service string, f divergence.PlaceFilter) ([][2]string, error)
}

var _ Differences = (*divergence.Store)(nil)

// maxSuggested bounds the places that values are read of for one answer.
const maxSuggested = 50

// Suggest returns rules that somebody may want: for places where nearly every
// exchange of a window differs, in what counts or in noise, with values that are
// made up anew each time; see [compare.Suggest]. An empty endpoint stands for all.
// Nothing is applied.
func Suggest(ctx context.Context, from Differences, service, endpoint string, w divergence.Window, endpoints []divergence.EndpointStats) ([]compare.Suggestion, error) {
	issues, err := from.Issues(ctx, service, divergence.IssueFilter{Window: w, Endpoint: endpoint, Suppressed: true, Limit: 1000})
	if err != nil {
		return nil, err
	}
	out := []compare.Suggestion{}
	for _, o := range changing(issues, endpoints) {
		if o.Values, err = from.PlaceValues(ctx, service, divergence.PlaceFilter{Window: w, Endpoint: o.Endpoint, Path: o.Path, Kind: string(compare.Changed)}); err != nil {
			return nil, err
		}
		if s, ok := compare.Suggest(o); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// changing adds up the issues of each place at which values are others, those that
// are rules' or people's business left out, and returns the places that differ in
// the most exchanges.
func changing(issues []divergence.Issue, endpoints []divergence.EndpointStats) []compare.Observed {
	compared := map[string]int64{}
	for _, e := range endpoints {
		compared[e.Endpoint] = e.Matched + e.Diverged
	}
	type place struct{ endpoint, path string }
	places := map[place]*compare.Observed{}
	for _, i := range issues {
		settled := slices.ContainsFunc(i.By, func(by string) bool { return by != "noise" })
		if i.Kind != string(compare.Changed) || settled {
			continue
		}
		at := place{i.Endpoint, i.Path}
		if places[at] == nil {
			places[at] = &compare.Observed{Endpoint: i.Endpoint, Path: i.Path, Of: compared[i.Endpoint]}
		}
		o := places[at]
		o.N = min(o.N+i.Count+i.Suppressed, o.Of)
	}
	var out []compare.Observed
	for _, o := range places {
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b compare.Observed) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Path, b.Path))
	})
	return out[:min(len(out), maxSuggested)]
}
