package ui

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// apiSuggestIdentifiers answers which values of stored pairs look made up by each
// leg. Nothing is put in force.
func (s *Server) apiSuggestIdentifiers(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if s.cfg.Rehearsal == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "stored pairs cannot be looked through here")
	}
	q := query{values: c.QueryParams()}
	f := divergence.PairFilter{Window: q.window(), Endpoint: q.text("endpoint"), Limit: q.number("limit", 1, 10_000)}
	if err := q.err("from", "to", "endpoint", "limit"); err != nil {
		return err
	}
	out, err := s.cfg.Rehearsal.SuggestIdentifiers(c.Request().Context(), service.Name, f)
	if err != nil {
		return rehearsalProblem(err)
	}
	return c.JSON(http.StatusOK, out)
}
