package ui

import (
	"context"
	"fmt"
	"time"
)

// Splitters are the splitters outside that get the step of a service.
type Splitters interface {
	// Status returns how each of them is doing. It does not wait.
	Status() []SplitterStatus
	// Settle is Status once each has confirmed the step or been given up, or when ctx
	// ends.
	Settle(ctx context.Context) []SplitterStatus
}

// SplitterStatus is how far a splitter outside is with the step.
type SplitterStatus struct {
	Name  string    `json:"name"`
	Step  *int      `json:"step,omitempty"` // that was read there last; nil: it was never read
	State string    `json:"state"`          // idle, pushing, confirmed, away or taken
	Since time.Time `json:"since"`          // of the state
	Error string    `json:"error,omitempty"`
}

// splitterConfirmed is the state of a splitter where the step is in force.
const splitterConfirmed = "confirmed"

// Pending reports whether a step that was set is not in force there.
func (s SplitterStatus) Pending() bool { return s.State != splitterConfirmed && s.State != "idle" }

// settleWithin bounds how long a rollback waits for splitters outside.
const settleWithin = 5 * time.Second

// outside returns how the splitters outside are doing.
func (s Service) outside() []SplitterStatus {
	if s.Splitters == nil {
		return nil
	}
	if list := s.Splitters(); list != nil {
		return list.Status()
	}
	return nil
}

// settled is outside once they have obeyed, or settleWithin is over.
func (s Service) settled(ctx context.Context) []SplitterStatus {
	if s.Splitters == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	if list := s.Splitters(); list != nil {
		return list.Settle(ctx)
	}
	return nil
}

// splitterDependencies lists the splitters at which the step is not in force.
func splitterDependencies(services []Service) []Dependency {
	var out []Dependency
	for _, service := range services {
		for _, s := range service.outside() {
			if s.Pending() {
				out = append(out, Dependency{Name: "splitter " + service.Name + "/" + s.Name, Detail: fmt.Sprintf("step %d is not in force there (%s since %s): %s", service.Stepper.State().Step, s.State, s.Since.Format(time.RFC3339), s.Error)})
			}
		}
	}
	return out
}
