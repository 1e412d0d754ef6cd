package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// Audit keeps what people do here.
type Audit interface {
	// Note keeps one deed. It waits for a second at most.
	Note(a reports.Access)
	// Accesses returns what was kept.
	Accesses(ctx context.Context, f reports.AccessFilter) (reports.Accesses, error)
}

var _ Audit = (*reports.AccessLog)(nil)

// audited notes who asked a route for a change, or for what may hold values of callers and databases, and what was
// answered. It is the route table that says which routes those are, so that none is forgotten; the page of an endpoint
// holds values for whoever may read them. Change events and
// GitHub's deliveries are machines' (apiTake) and are not noted.
func (s *Server) audited(r route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		both := r.method == http.MethodGet && r.path == endpointRoute
		if s.cfg.Audit == nil || r.needs < values && !both || r.kind == apiTake {
			return next
		}
		deed := r.deed()
		return func(c echo.Context) error {
			status := http.StatusInternalServerError // a panic passes by
			defer func() {
				if both && !s.mayRead(c) { // it had figures alone
					return
				}
				if holder, known := c.Get(holderKey).(Holder); known || s.cfg.Door == nil { // wrong tokens are noted where they are looked at
					s.note(c, holder, deed, status)
				}
			}()
			if err := next(c); err != nil {
				c.Error(err) // so that it is known what was answered
			}
			status = c.Response().Status
			return nil
		}
	}
}

// deed is what a request of a route does.
func (r route) deed() reports.AccessDeed {
	triesRules := r.path == "/services/:service/rules" // the page of what the API does by a kind of its own
	if r.method == http.MethodGet || r.kind == api || triesRules {
		return reports.Viewed
	}
	return reports.Changed
}

// note keeps what a holder did; one without a name is somebody whom nobody knows.
func (s *Server) note(c echo.Context, holder Holder, deed reports.AccessDeed, status int) {
	if s.cfg.Audit == nil {
		return
	}
	a := reports.Access{
		Deed: deed, Who: holder.Name, Role: string(holder.Role), Route: c.Request().Method + " " + strings.ReplaceAll(c.Path(), `\:`, ":"),
		Status: status,
	}
	if holder.Name != "" || s.cfg.Door == nil { // what a stranger writes may be anything
		a.Service, a.Object = c.Param("service"), objectOf(c)
	}
	if from := addressOf(c.Request().RemoteAddr); from.IsValid() {
		a.From = from.String()
	}
	s.cfg.Audit.Note(a)
}

// objectOf names which one of its route a request is about.
func objectOf(c echo.Context) string {
	for _, name := range []string{"id", "fingerprint", "version", "leg"} {
		if text := c.Param(name); text != "" {
			return text
		}
	}
	return c.QueryParam("endpoint")
}

// Bounds of what strangers write into the audit: it is as long as its files, and what people did is not to be pushed out.
const (
	strangersNoted = 60
	strangersTime  = time.Hour
)

// strangers counts the wrong tokens that were noted.
type strangers struct {
	mu    sync.Mutex
	noted tally
}

// mayNote counts one more, unless there were too many.
func (s *strangers) mayNote(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = s.noted.at(now, strangersTime)
	if s.noted.n >= strangersNoted {
		return false
	}
	s.noted.n++
	return true
}

// noteStranger notes a wrong token, wherever it was given.
func (s *Server) noteStranger(c echo.Context, status int) {
	if s.strangers.mayNote(s.now()) {
		s.note(c, Holder{}, reports.LoggedIn, status)
	}
}

// accessesShown is how many the API answers with where nobody says.
const accessesShown = 200

// apiAudit answers what people did here.
func (s *Server) apiAudit(c echo.Context) error {
	if s.cfg.Audit == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "nothing keeps an audit here")
	}
	q := query{values: c.QueryParams()}
	w := q.window()
	f := reports.AccessFilter{
		Who: q.text("who"), Service: q.text("service"), Object: q.text("object"), Deed: reports.AccessDeed(q.text("deed")),
		From: w.From, To: w.To, Limit: cmp.Or(q.number("limit", 1, 1000), accessesShown),
	}
	if f.Deed != "" && !slices.Contains(reports.AccessDeeds, f.Deed) {
		q.fault("deed", "want view, change, login or logout, found %.40q", f.Deed)
	}
	if err := q.err("who", "service", "object", "deed", "from", "to", "limit"); err != nil {
		return err
	}
	out, err := s.cfg.Audit.Accesses(c.Request().Context(), f)
	if err != nil {
		return fmt.Errorf("cannot answer from the audit: %w", err)
	}
	return c.JSON(http.StatusOK, out)
}
