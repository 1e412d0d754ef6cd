package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Server is the admin server. Make it with [New].
type Server struct {
	cfg      Config
	services map[string]*Service
	names    []string
	now      func() time.Time
	log      *slog.Logger
	pages    pages
	echo     *echo.Echo
	stopping context.Context // ends when Run begins to stop: long polls answer then
	stop     context.CancelFunc
}

// New returns an admin server. It fails when a service lacks a part or has the
// name of another.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, services: map[string]*Service{}, now: cfg.Now, log: cfg.Log}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.cfg.Gatherer == nil {
		s.cfg.Gatherer = prometheus.NewRegistry()
	}
	if cfg.Store == nil || cfg.Summaries == nil {
		return nil, errors.New("cannot make the admin server: it needs a store and summaries")
	}
	for i := range cfg.Services {
		service := &cfg.Services[i]
		if service.Name == "" || service.Judge == nil || service.Stepper == nil || s.services[service.Name] != nil {
			return nil, fmt.Errorf("cannot make the admin server: service %q lacks a name, judge or stepper, or is there twice", service.Name)
		}
		s.services[service.Name] = service
		s.names = append(s.names, service.Name)
	}
	var err error
	if s.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("cannot make the admin server: %w", err)
	}
	s.echo = s.router()
	return s, nil
}

// Handler answers every request the admin server takes.
func (s *Server) Handler() http.Handler { return s.echo }

// stopTime is how long requests under way may take once Run stops.
const stopTime = 5 * time.Second

// Run serves on l until ctx ends, lets requests under way finish for up to 5 s,
// and closes l. It returns nil after such an end. It may be called once.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      maxWait + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("admin server: requests were under way for %v after the stop: %w", stopTime, err), server.Close())
	}
	<-ended
	return err
}
