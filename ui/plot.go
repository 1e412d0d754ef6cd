package ui

import (
	"context"
	"encoding/json"

	"parallax/divergence"
)

// plot is a chart as static/charts.js reads it. Times are Unix seconds, rates parts of 1; a rate
// is null where nothing was compared.
type plot struct {
	At        []int64    `json:"at"`
	N         []int64    `json:"n"`
	K         []int64    `json:"k"`
	Rate      []*float64 `json:"rate"`
	Upper     []*float64 `json:"upper,omitempty"`
	Lower     []*float64 `json:"lower,omitempty"`
	Threshold float64    `json:"threshold,omitempty"`
	Top       float64    `json:"top"`
	Summary   string     `json:"summary"`
	Marks     []plotMark `json:"marks,omitempty"`
}

type plotMark struct {
	At   int64  `json:"at"`
	Text string `json:"text"`
}

// plotData is the series as JSON, for an attribute: an inline script would break the policy.
func plotData(s series, top float64, summary string) string {
	p := plot{Threshold: s.threshold, Top: top, Summary: summary}
	for i, point := range s.points {
		p.add(point)
		if i < len(s.limits) {
			p.Upper = append(p.Upper, known(point, s.limits[i].upper))
			p.Lower = append(p.Lower, known(point, s.limits[i].lower))
		}
	}
	first, span := s.points[0].At, spanOf(s.points)
	for _, m := range s.marks {
		if into := m.At.Sub(first); into >= 0 && into < span {
			p.Marks = append(p.Marks, plotMark{m.At.Unix(), m.Text})
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "" // a rate that is no number: the picture without a cursor stays
	}
	return string(text)
}

func (p *plot) add(point divergence.RatePoint) {
	p.At = append(p.At, point.At.Unix())
	p.N = append(p.N, point.N)
	p.K = append(p.K, point.K)
	p.Rate = append(p.Rate, known(point, point.Rate))
}

// known is nil where nothing was compared, so that a line has a gap there.
func known(p divergence.RatePoint, v float64) *float64 {
	if p.N == 0 {
		return nil
	}
	return &v
}

// marks are the latest changes of a service, for its charts: what people and the policy decided,
// and rules that came with the configuration.
func (s *Server) marks(ctx context.Context, service string) ([]changeMark, error) {
	changes, err := s.cfg.Store.Changes(ctx, service, maxChanges)
	if err != nil {
		return nil, err
	}
	sets, err := s.cfg.Store.RuleSets(ctx, service)
	if err != nil {
		return nil, err
	}
	var out []changeMark
	for _, d := range changes {
		out = append(out, changeMark{d.At, changeText(d)})
	}
	for i, set := range sets { // the latest first; the first one of all is no change
		if configured := set.By == "start" || set.By == "reload"; configured && i+1 < len(sets) {
			out = append(out, changeMark{set.At, "the configuration brought other rules"})
		}
	}
	return out, nil
}
