package ui

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// Writes answers which rows the candidate of a service changed while it was live.
type Writes interface {
	Written(ctx context.Context, service string, f divergence.WrittenFilter) (divergence.Written, error)
}

func (s *Server) apiWritten(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	f := divergence.WrittenFilter{Window: q.window(), Table: q.text("table"), Limit: q.number("limit", 1, 1000)}
	if err := q.err("from", "to", "table", "limit"); err != nil {
		return err
	}
	written, err := s.cfg.Store.Written(c.Request().Context(), service.Name, f)
	if err != nil {
		return err
	}
	written.Rows, written.Gaps = list(written.Rows), list(written.Gaps)
	return c.JSON(http.StatusOK, written)
}

// writtenView is the page of what the candidate wrote while it was live.
type writtenView struct {
	Service  string
	Lookback lookback
	Rows     []writtenRow
	More     bool
	Unlisted uint64
	Gaps     []divergence.EffectGap
}

// writtenRow is one row on it.
type writtenRow struct {
	Table, Leg, Op, Key string
	After               []effectColumn
	Changes             uint64
	Last                time.Time
	Endpoint            string
}

// pageRowsWritten is how many rows the page shows; the API has more.
const pageRowsWritten = 200

func (s *Server) pageWritten(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	l := q.lookback(s.now(), c.Request().URL.String())
	if err := q.err("window"); err != nil {
		return err
	}
	written, err := s.cfg.Store.Written(c.Request().Context(), service.Name, divergence.WrittenFilter{Window: l.Window, Limit: pageRowsWritten})
	if err != nil {
		return err
	}
	view := writtenView{Service: service.Name, Lookback: l, More: written.More, Unlisted: written.Unlisted, Gaps: written.Gaps}
	for _, r := range written.Rows {
		view.Rows = append(view.Rows, writtenRow{
			Table: r.Table, Leg: r.Leg, Op: r.Op, Key: keyText(r.Key), After: effectColumns(divergence.EffectLine{After: r.After}),
			Changes: r.Changes, Last: r.Last, Endpoint: r.Endpoint,
		})
	}
	return s.render(c, http.StatusOK, "written", "Written by the candidate of "+service.Name, service.Name, []link{
		{Text: service.Name, URL: servicePath(service.Name)}, {Text: "Written by the candidate", Current: true},
	}, view)
}

func writtenPath(service string) string { return "/services/" + url.PathEscape(service) + "/written" }
