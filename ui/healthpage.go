package ui

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
)

// Process is how the process that answers is doing.
type Process struct {
	Roles   []string // none: all
	Started time.Time
	Queue   QueueStatus
}

// QueueStatus is the queue between mirroring and comparing.
type QueueStatus struct {
	Where   string // memory or redis
	Waiting int    // exchanges in it, those that a worker holds included
	Most    int    // beyond which exchanges are lost as queue_full
}

// Vitals are how one service is doing in this process, besides its legs.
type Vitals struct {
	Places    map[string]int64 // exchanges in flight: live, shadow, queue, worker, batch
	Databases []DatabaseStatus
}

// DatabaseStatus is how reading a database is going.
type DatabaseStatus struct {
	Leg    string
	Name   string        // without secrets
	Behind time.Duration // what was committed longer ago is read
	Gap    string        // why nothing of it is read at the moment; empty: it is
	Since  time.Time     // of the gap
}

// healthView is the page about how Parallax itself and the legs are doing.
type healthView struct {
	Healthy      bool
	Roles        []string
	Up           string // how long
	Queue        QueueStatus
	Dependencies []dependencyRow
	Services     []serviceHealth
}

// dependencyRow is one thing that Parallax needs, and what to do while it is not well.
type dependencyRow struct {
	Dependency
	Means string
}

// serviceHealth is one service on the page.
type serviceHealth struct {
	Name, URL string
	Legs      []LegStatus
	Places    []placeRow
	Databases []DatabaseStatus
	Mirroring MirroringState
}

type placeRow struct {
	Name string
	N    int64
}

// means says what it means that something is not well, and what to do.
var means = map[string]string{
	"store":         "Callers are served and mirrored as before. What is compared waits in memory, then it is counted as lost. Look at the ClickHouse server, or at the engine below.",
	"engine":        "It is started again by itself after 5 seconds at most. If it does not come back, its log lines say why; its folder is store.dir.",
	"decisions":     "Decisions on issues and saved rules are the last that were known. It ends with what is said of the store.",
	"queue":         "Mirrors serve. Exchanges wait in memory and then in files, and are counted as lost beyond that. Look at the Redis of queue.redis.",
	"identifiers":   "Identifiers that other processes learn are not known here, so that more exchanges are not comparable. Look at the Redis of identifiers.redis.",
	"steps":         "The step is the last that was agreed on; rollbacks are in force here at once, elsewhere once Redis answers. Look at the Redis of steps.redis.",
	"configuration": "The configuration of before is in force. Correct the file and reload it.",
	"audit":         "People can look and act, and it is not written down. Look at the disk of state_dir.",
}

func (s *Server) pageHealth(c echo.Context) error {
	v := healthView{Healthy: true}
	if s.cfg.Process != nil {
		p := s.cfg.Process()
		v.Roles, v.Queue = p.Roles, p.Queue
		if !p.Started.IsZero() {
			v.Up = s.now().Sub(p.Started).Truncate(time.Second).String()
		}
	}
	for _, d := range s.dependencies(c.Request().Context()) {
		v.Dependencies = append(v.Dependencies, dependencyRow{d, means[d.Name]})
		v.Healthy = v.Healthy && d.OK
	}
	for i := range s.Services() {
		h := newServiceHealth(&s.Services()[i])
		v.Services = append(v.Services, h)
		v.Healthy = v.Healthy && h.well()
	}
	return s.render(c, http.StatusOK, "health", "Health", "", []link{{Text: "Services", URL: "/"}, {Text: "Health", Current: true}}, v)
}

func newServiceHealth(service *Service) serviceHealth {
	h := serviceHealth{Name: service.Name, URL: servicePath(service.Name), Legs: service.legs(), Mirroring: service.mirroring()}
	if service.Vitals == nil {
		return h
	}
	vitals := service.Vitals()
	h.Databases = vitals.Databases
	for _, name := range slices.Sorted(maps.Keys(vitals.Places)) {
		h.Places = append(h.Places, placeRow{name, vitals.Places[name]})
	}
	return h
}

// well reports whether nothing of a service needs a person.
func (h serviceHealth) well() bool {
	return !h.Mirroring.Paused && len(h.Mirroring.Tripped) == 0 &&
		!slices.ContainsFunc(h.Legs, func(l LegStatus) bool { return !l.Healthy }) &&
		!slices.ContainsFunc(h.Databases, func(d DatabaseStatus) bool { return d.Gap != "" })
}
