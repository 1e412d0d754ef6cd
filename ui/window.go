package ui

import (
	"context"
	"time"

	"parallax/divergence"
)

// spans are the windows a page can look through; the first is the default.
var spans = []struct {
	name, text string
	length     time.Duration // 0: everything
}{
	{"24h", "24 hours", 24 * time.Hour},
	{"1h", "1 hour", time.Hour},
	{"6h", "6 hours", 6 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"all", "everything", 0},
}

// lookback is the window of a page, and the links to the others.
type lookback struct {
	divergence.Window
	Name    string // what the URL says; empty for the default
	Text    string
	Choices []link
}

// lookback reads the window of a page; here is the page's own address.
func (q *query) lookback(now time.Time, here string) lookback {
	name := q.text("window")
	if name == "" {
		name = spans[0].name
	}
	var out lookback
	for _, i := range []int{1, 2, 0, 3, 4} { // from short to long
		s := spans[i]
		value := s.name
		if i == 0 {
			value = ""
		}
		out.Choices = append(out.Choices, link{Text: s.text, URL: with(here, "window", value), Current: s.name == name})
		if s.name != name {
			continue
		}
		out.Name, out.Text = value, s.text
		if s.length > 0 {
			out.Window = divergence.Window{From: now.Add(-s.length).UTC()}
		}
	}
	if out.Text == "" {
		q.fault("window", "want 1h, 6h, 24h, 7d or all, found %.40q", name)
	}
	return out
}

// keep adds the window to the address of another page.
func (l lookback) keep(address string) string {
	if l.Name == "" {
		return address
	}
	return with(address, "window", l.Name)
}

// buckets is how many points a chart has.
const buckets = 72

// rates reads the points of a chart: from the window's beginning, or from the
// first exchange if that is later, until now.
func (s *Server) rates(ctx context.Context, service, endpoint string, w divergence.Window, first time.Time) ([]divergence.RatePoint, error) {
	now := s.now().UTC()
	if first.IsZero() {
		return nil, nil
	}
	if w.From.Before(first) {
		w.From = first
	}
	w.To = now.Add(time.Second)
	points, err := s.cfg.Store.RateOverTime(ctx, service, endpoint, w, buckets)
	for len(points) > 0 && points[len(points)-1].At.After(now) {
		points = points[:len(points)-1]
	}
	return points, err
}
