package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Server is the admin server. Make it with [New].
type Server struct {
	cfg       Config
	current   atomic.Pointer[catalogue]
	now       func() time.Time
	log       *slog.Logger
	pages     pages
	sessions  sessions
	tries     tries // logins
	bearers   bearers
	strangers strangers
	echo      *echo.Echo
	stopping  context.Context // ends when Run begins to stop: long polls answer then
	stop      context.CancelFunc
}

// New returns an admin server. It fails when a service lacks a part or has the
// name of another.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, now: cfg.Now, log: cfg.Log}
	s.tries.ofAddress, s.tries.ofAll = triesOfAddress, triesOfAll
	s.bearers.failed.ofAddress, s.bearers.failed.ofAll = bearersOfAddress, bearersOfAll
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
	if err := s.SetServices(cfg.Services); err != nil {
		return nil, fmt.Errorf("cannot make the admin server: %w", err)
	}
	var err error
	if s.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("cannot make the admin server: %w", err)
	}
	s.echo = s.router()
	return s, nil
}

// catalogue is the services there are.
type catalogue struct {
	list   []Service
	byName map[string]*Service
	names  []string
}

// SetServices puts other services in place of those there are. Requests under way
// finish with what they began with. It fails when a service lacks a part or has
// the name of another, and nothing changes then.
func (s *Server) SetServices(services []Service) error {
	c := &catalogue{list: services, byName: make(map[string]*Service, len(services))}
	for i := range services {
		service := &services[i]
		if service.Name == "" || service.Judge == nil || service.Stepper == nil || c.byName[service.Name] != nil {
			return fmt.Errorf("service %q lacks a name, judge or stepper, or is there twice", service.Name)
		}
		c.byName[service.Name] = service
		c.names = append(c.names, service.Name)
	}
	s.current.Store(c)
	return nil
}

// Services returns the services there are now, in their order.
func (s *Server) Services() []Service { return s.current.Load().list }

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
