package ui

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Reload is how putting the configuration file in force once more went.
type Reload struct {
	At      time.Time `json:"at"`
	Changes []string  `json:"changes"`          // what is another now, in words; empty when the file says what is in force
	Faults  []string  `json:"faults,omitempty"` // why the file was refused and everything stays as it was; empty when it was not
}

// notice is what pages say about a reload that was refused.
func (r Reload) notice() string {
	if len(r.Faults) == 0 {
		return ""
	}
	return "Last reload failed, at " + utc(r.At) + ": " + strings.Join(r.Faults, "; ") + ". The configuration of before is in force."
}

func (s *Server) lastReload() Reload {
	if s.cfg.Reloads == nil {
		return Reload{}
	}
	last := s.cfg.Reloads.LastReload()
	last.Changes = list(last.Changes)
	return last
}

// apiReload answers 200 with what changed, or 422 with everything that is wrong.
func (s *Server) apiReload(c echo.Context) error {
	if s.cfg.Reloads == nil {
		return newProblem(http.StatusNotImplemented, "not_implemented", "this Parallax reads its configuration once, when it starts")
	}
	done := s.cfg.Reloads.Reload(context.WithoutCancel(c.Request().Context()))
	if len(done.Faults) > 0 {
		p := newProblem(http.StatusUnprocessableEntity, "configuration", "the configuration was refused, and the one of before is in force")
		p.Faults = done.Faults
		return p
	}
	done.Changes = list(done.Changes)
	return c.JSON(http.StatusOK, done)
}
