package ui

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// EventInbox takes what the databases of one leg committed, as Debezium tells it, and
// what the leg sent to the outside.
type EventInbox interface {
	// Take queues the events of a body, all of them or none. Database says which they
	// are of, where they do not; it may be empty. It does not block.
	Take(body []byte, database string) TakenEvents
	// Stats counts what was sent since the databases are read as they are configured now.
	Stats() EventStats
}

// EventStats is what was sent of one leg, and what became of it.
type EventStats struct {
	Wrong     int64           `json:"wrong"` // bodies that were refused because something was wrong with them
	Full      int64           `json:"full"`  // bodies that were refused for want of room
	Databases []EventDatabase `json:"databases"`
}

// EventDatabase is what became of the events of one database. Each was read, or was a
// duplicate or of a table that is not read.
type EventDatabase struct {
	Database   string `json:"database"`   // as the configuration names it; outbox of what was sent to the outside
	Read       int64  `json:"read"`       // changes, messages, bounds of transactions, heartbeats
	Duplicate  int64  `json:"duplicate"`  // they had come before
	Unlisted   int64  `json:"unlisted"`   // of tables that are not read
	Late       int64  `json:"late"`       // transactions of which more came when they had been handed over
	Incomplete int64  `json:"incomplete"` // transactions that were handed over although not all of them had come or had room
	Waiting    int64  `json:"waiting"`    // events that are queued or held now
}

// TakenEvents is what became of a body of events.
type TakenEvents struct {
	Events int      // that are queued now
	Faults []string // what is wrong with the body, each with the event's index from 0 and its field; then nothing is queued
	Full   bool     // there is no room now; then nothing is queued
}

// Bounds of bodies of events.
const (
	maxEventBody = 8 << 20
	maxTaking    = 8 // bodies that are taken at the same time
)

// eventsDocument is the answer to events that were queued.
type eventsDocument struct {
	Service string `json:"service"`
	Leg     string `json:"leg"`
	Queued  int    `json:"queued"`
}

// apiTakeEvents answers 202 once every event of the body is queued.
func (s *Server) apiTakeEvents(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	leg := c.Param("leg")
	inbox := service.Events[leg]
	if inbox == nil {
		return notFound(fmt.Sprintf("%s takes no events of a leg %.40q; its configuration names what it takes in effects", service.Name, leg), slices.Sorted(maps.Keys(service.Events))...)
	}
	if err := isJSON(c.Request().Header.Get("Content-Type")); err != nil {
		return err
	}
	body, err := s.readText(c, maxEventBody)
	if err != nil {
		return err
	}
	taken := inbox.Take(body, c.QueryParam("name"))
	switch {
	case taken.Full:
		p := newProblem(http.StatusServiceUnavailable, "busy", "events come faster than they are read; nothing of this body was taken")
		p.retryAfter = 1
		return p
	case len(taken.Faults) > 0:
		return invalid(taken.Faults...)
	}
	return c.JSON(http.StatusAccepted, eventsDocument{service.Name, leg, taken.Events})
}

// isJSON refuses a media type that is not JSON: application/json, or one that ends in
// +json, such as application/cloudevents+json.
func isJSON(contentType string) error {
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")) {
		return nil
	}
	return newProblem(http.StatusUnsupportedMediaType, "media_type", fmt.Sprintf("want Content-Type: application/json or application/cloudevents+json, found %.60q", contentType))
}
