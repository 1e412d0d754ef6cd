package ui

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// MissingWrite is a write that a caller was told is done, and that a leg does not have.
type MissingWrite struct {
	Exchange string    `json:"exchange"`
	Endpoint string    `json:"endpoint"`
	Received time.Time `json:"received"`
	Why      string    `json:"why,omitempty"` // it will never get it, as far as anybody knows; empty: it is still to get it
}

// wayBackDocument is what would be missing after the way back, also as a sentence.
type wayBackDocument struct {
	reports.WayBack
	Text string `json:"text"`
}

func (service *Service) wayBack() *wayBackDocument {
	if service.WayBack == nil {
		return nil
	}
	w := service.WayBack()
	return &wayBackDocument{w, wayBackText(w)}
}

func wayBackText(w reports.WayBack) string {
	var lacks []string
	if n := w.WritesMissing; n > 0 {
		lacks = append(lacks, fmt.Sprintf("%d %s", n, plural(int(n), "write", "writes")))
	}
	if n := w.IDsUnknown; n > 0 {
		lacks = append(lacks, fmt.Sprintf("%d %s that the candidate made up", n, plural(int(n), "value", "values")))
	}
	if len(lacks) == 0 {
		return "On the way back nothing is missing."
	}
	text := "On the way back the primary lacks " + strings.Join(lacks, " and ")
	if w.Lag > 0 {
		text += fmt.Sprintf(", the oldest write since %s", (time.Duration(w.Lag * float64(time.Second))).Round(100*time.Millisecond))
	}
	return text + "."
}

// missingDocument is the answer about writes that a leg does not have.
type missingDocument struct {
	Leg    string         `json:"leg"`
	Writes []MissingWrite `json:"writes"`
	More   bool           `json:"more"`
}

var legNames = []string{"primary", "candidate", "secondary"}

func (s *Server) apiMissing(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	leg, limit := q.text("leg"), q.number("limit", 1, 1000)
	if err := q.err("leg", "limit"); err != nil {
		return err
	}
	if leg == "" {
		leg = legNames[0]
	}
	if !slices.Contains(legNames, leg) {
		return badRequest(fmt.Sprintf("leg: want one of %s, found %.20q", strings.Join(legNames, ", "), leg))
	}
	if limit == 0 {
		limit = 1000
	}
	d := missingDocument{Leg: leg, Writes: []MissingWrite{}}
	if service.MissingWrites != nil {
		found, err := service.MissingWrites(leg, limit+1)
		if err != nil {
			return fmt.Errorf("cannot list what the %s of %s lacks: %w", leg, service.Name, err)
		}
		d.More = len(found) > limit
		d.Writes = append(d.Writes, found[:min(len(found), limit)]...)
	}
	return c.JSON(http.StatusOK, d)
}
