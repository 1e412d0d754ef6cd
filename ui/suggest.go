package ui

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"parallax/compare"
	"parallax/reports"
)

// suggestionsDocument is the answer about rules that somebody may want.
type suggestionsDocument struct {
	Service     string               `json:"service"`
	Suggestions []compare.Suggestion `json:"suggestions"`
	YAML        string               `json:"yaml"` // all of them, to be pasted under rules
}

// apiSuggestRules suggests rules; it changes nothing.
func (s *Server) apiSuggestRules(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	w, endpoint := q.window(), q.text("endpoint")
	if err := q.err("from", "to", "endpoint"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	summary, err := s.cfg.Summaries.Summary(ctx, service.Name, w)
	if err != nil {
		return err
	}
	list, err := reports.Suggest(ctx, s.cfg.Store, service.Name, endpoint, w, summary.Endpoints)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, suggestionsDocument{service.Name, list, suggestionsText(list)})
}

func suggestionsText(list []compare.Suggestion) string {
	var text strings.Builder
	for _, s := range list {
		text.WriteString(s.YAML)
	}
	return text.String()
}

// noisePlaces is what is held as noise on an endpoint.
func (service *Service) noisePlaces(endpoint string) []compare.NoisePlace {
	if service.Noise == nil {
		return nil
	}
	return service.Noise(endpoint)
}
