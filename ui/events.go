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
