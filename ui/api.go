package ui

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"parallax"
	"parallax/divergence"
	"parallax/reports"
)

// service finds the service that the path names.
func (s *Server) service(c echo.Context) (*Service, error) {
	name := c.Param("service")
	known := s.current.Load()
	if service := known.byName[name]; service != nil {
		return service, nil
	}
	return nil, notFound(fmt.Sprintf("there is no service %.100q", name), known.names...)
}

// serviceLine is a service in brief.
type serviceLine struct {
	Name    string           `json:"name"`
	Legs    []LegStatus      `json:"legs"`
	Step    int              `json:"step"`
	Verdict reports.Decision `json:"verdict"`
	Reasons []reports.Reason `json:"reasons"`
}

func (s *Server) apiServices(c echo.Context) error {
	services := s.Services()
	lines := make([]serviceLine, 0, len(services))
	for i := range services {
		service := &services[i]
		v := service.Judge.Verdict()
		lines = append(lines, serviceLine{
			Name: service.Name, Legs: service.legs(), Step: service.Stepper.State().Step, Verdict: v.Decision, Reasons: list(v.Reasons),
		})
	}
	out := map[string]any{"services": lines}
	if last := s.lastReload(); !last.At.IsZero() {
		out["reload"] = last
	}
	return c.JSON(http.StatusOK, out)
}

func (service *Service) legs() []LegStatus {
	if service.Legs == nil {
		return []LegStatus{}
	}
	return list(service.Legs())
}

// report reads what is known about a service in a window.
func (s *Server) report(ctx context.Context, service *Service, w divergence.Window) (reports.Report, error) {
	summary, err := s.cfg.Summaries.Summary(ctx, service.Name, w)
	if err != nil {
		return reports.Report{}, err
	}
	report := reports.Build(w, summary, service.Judge.Verdict())
	if service.Tables != nil {
		report.Tables = service.Tables()
	}
	did, err := s.effects(ctx, service, w)
	if err != nil {
		return report, err
	}
	if len(did.Counts)+len(did.Gaps)+did.Differ > 0 {
		report.Effects = &did
	}
	return report, nil
}

func (s *Server) apiReport(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	w, form := q.window(), q.form()
	if err := q.err("from", "to", "format"); err != nil {
		return err
	}
	report, err := s.report(c.Request().Context(), service, w)
	if err != nil {
		return err
	}
	if !s.mayRead(c) {
		report.Tables = withoutRows(report.Tables)
	}
	if form.write != nil {
		return s.hand(c, service, report, form)
	}
	return c.JSON(http.StatusOK, report)
}

// withoutRows takes out what rows held, and leaves how many differ.
func withoutRows(t *reports.Tables) *reports.Tables {
	if t == nil {
		return nil
	}
	out := *t
	out.Tables = slices.Clone(t.Tables)
	for i := range out.Tables {
		out.Tables[i].First = nil
	}
	return &out
}

func (s *Server) apiExchanges(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	f := q.exchangeFilter()
	if err := q.err("from", "to", "endpoint", "outcome", "issue", "kept", "before", "limit"); err != nil {
		return err
	}
	exchanges, err := s.cfg.Store.Exchanges(c.Request().Context(), service.Name, f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"exchanges": list(exchanges)})
}

// exchange finds the exchange that the path names.
func (s *Server) exchange(c echo.Context) (*Service, divergence.ExchangeDetail, error) {
	service, err := s.service(c)
	if err != nil {
		return nil, divergence.ExchangeDetail{}, err
	}
	id, err := parallax.ParseID(c.Param("id"))
	if err != nil {
		return nil, divergence.ExchangeDetail{}, badRequest("id: " + err.Error())
	}
	detail, err := s.cfg.Store.Exchange(c.Request().Context(), service.Name, id)
	return service, detail, err
}

func (s *Server) apiExchange(c echo.Context) error {
	_, detail, err := s.exchange(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, exchangeDocument(detail))
}

// list returns the list itself, or an empty one in place of nil: JSON then has
// [] and not null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return slices.Clip(items)
}
