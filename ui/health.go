package ui

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// dependencyTime bounds how long /readyz and pages wait to hear how the
// dependencies are doing.
const dependencyTime = 2 * time.Second

// readiness is the body of /readyz.
type readiness struct {
	Ready        bool         `json:"ready"`
	Reason       string       `json:"reason,omitempty"`
	Dependencies []Dependency `json:"dependencies"`
}

func (s *Server) livez(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]any{"alive": true, "version": s.cfg.Version, "pid": os.Getpid()})
}

// readyz fails only when the listeners cannot serve. Callers are served without
// the store, so its absence must not take the instance out of a balancer.
func (s *Server) readyz(c echo.Context) error {
	body := readiness{Ready: true, Dependencies: []Dependency{}}
	if s.mayLook(c) {
		body.Dependencies = s.dependencies(c.Request().Context())
	}
	status := http.StatusOK
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(); err != nil {
			body.Ready, body.Reason, status = false, err.Error(), http.StatusServiceUnavailable
		}
	}
	return c.JSON(status, body)
}

func (s *Server) dependencies(ctx context.Context) []Dependency {
	splitters := splitterDependencies(s.Services())
	if s.cfg.Dependencies == nil {
		return list(splitters)
	}
	ctx, cancel := context.WithTimeout(ctx, dependencyTime)
	defer cancel()
	return list(append(s.cfg.Dependencies(ctx), splitters...))
}

func (s *Server) metrics() echo.HandlerFunc {
	return echo.WrapHandler(promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
}
