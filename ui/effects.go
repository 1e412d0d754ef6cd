package ui

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// SideEffects answers what became of what the databases of a service committed.
type SideEffects interface {
	Effects(ctx context.Context, service string, w divergence.Window) (divergence.EffectsSummary, error)
}

func (s *Server) apiEffects(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	w := q.window()
	if err := q.err("from", "to"); err != nil {
		return err
	}
	summary, err := s.effects(c.Request().Context(), service, w)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, effectsDocument{summary, service.eventStats()})
}

// effectsDocument is what became of what a service's databases committed.
type effectsDocument struct {
	divergence.EffectsSummary
	Events map[string]EventStats `json:"events,omitempty"` // by leg
}

// eventStats is what was sent of each leg that takes events.
func (s Service) eventStats() map[string]EventStats {
	out := map[string]EventStats{}
	for leg, inbox := range s.Events {
		out[leg] = inbox.Stats()
	}
	return out
}

// effects reads what became of what a service's databases committed.
func (s *Server) effects(ctx context.Context, service *Service, w divergence.Window) (divergence.EffectsSummary, error) {
	out, err := s.cfg.Store.Effects(ctx, service.Name, w)
	out.Counts, out.Gaps = list(out.Counts), list(out.Gaps)
	if service.Drifted != nil {
		out.Differ = service.Drifted()
	}
	return out, err
}

// effectsView is what became of a service's effects in a span of time.
type effectsView struct {
	Tables []effectTableRow
	Gaps   []divergence.EffectGap
	Ways   []string // that occur, in their order
}

// effectTableRow is the counts of one table of a leg.
type effectTableRow struct {
	Leg, Table string
	N          []uint64 // by Ways
	Nobodys    bool     // some that no exchange explains
}

// effectWays is what may become of a change, in the order of the page.
var effectWays = []string{"tag", "trace", "column", "key", "late", "uncompared", "torn", "stray", "alone", "unlisted", "unattributed"}

func newEffectsView(s divergence.EffectsSummary) effectsView {
	view := effectsView{Gaps: s.Gaps}
	occurs := map[string]bool{}
	for _, c := range s.Counts {
		occurs[c.Count] = true
	}
	at := map[string]int{}
	for _, way := range effectWays {
		if occurs[way] {
			at[way] = len(view.Ways)
			view.Ways = append(view.Ways, way)
		}
	}
	for _, c := range s.Counts {
		i, known := at[c.Count]
		if !known {
			continue
		}
		last := len(view.Tables) - 1
		if last < 0 || view.Tables[last].Leg != c.Leg || view.Tables[last].Table != c.Table {
			view.Tables = append(view.Tables, effectTableRow{Leg: c.Leg, Table: c.Table, N: make([]uint64, len(view.Ways))})
			last++
		}
		view.Tables[last].N[i] = c.N
		view.Tables[last].Nobodys = view.Tables[last].Nobodys || c.Count == "unattributed" && c.N > 0
	}
	return view
}

// gapText says how long a gap was.
func gapText(g divergence.EffectGap) string {
	if g.Until.IsZero() {
		return "it lasts"
	}
	return g.Until.Sub(g.From).Round(time.Millisecond).String()
}
