package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Mirroring switches mirroring of one service off and on.
type Mirroring interface {
	// State returns whether mirroring is paused, and why. It does not block.
	State() MirroringState
	// Pause keeps requests from all legs but the live one, from the next request
	// on. It returns when that holds and is on disk, so that it survives a restart;
	// with an error it holds until then.
	Pause(ctx context.Context, who, reason string) error
	// Resume ends every pause, whoever began it, and has legs that tripped asked again.
	Resume(ctx context.Context, who, reason string) error
}

// MirroringState is whether mirroring of a service is paused, and which legs are asked
// as a shadow no more. All but Paused, Tripped and Shared is empty while it is not paused.
type MirroringState struct {
	Paused bool      `json:"paused"`
	By     string    `json:"by,omitempty"` // person, signal or watchdog
	Who    string    `json:"who,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Until  time.Time `json:"until,omitzero"` // when it ends by itself; zero for never

	Tripped []LegTrip `json:"tripped,omitempty"`

	Shared *SharedStep `json:"shared,omitempty"` // how far a person's pause, or its end, has come where several processes share it
}

// LegTrip is that a leg is asked as a shadow no more, because what it did as one was
// found where it must not be. It lasts until a person resumes mirroring.
type LegTrip struct {
	Leg    string    `json:"leg"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// mirroringDocument is the answer about mirroring.
type mirroringDocument struct {
	Service string `json:"service"`
	MirroringState
}

func (service *Service) mirroring() MirroringState {
	if service.Mirroring == nil {
		return MirroringState{}
	}
	state := service.Mirroring.State()
	state.At, state.Until = state.At.UTC(), state.Until.UTC()
	return state
}

func (s *Server) apiMirroring(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, mirroringDocument{service.Name, service.mirroring()})
}

// apiPauseMirroring takes a reason, and does without one: whoever needs it is in
// a hurry.
func (s *Server) apiPauseMirroring(c echo.Context) error {
	return s.switchMirroring(c, "pause", Mirroring.Pause)
}

func (s *Server) apiResumeMirroring(c echo.Context) error {
	return s.switchMirroring(c, "resume", Mirroring.Resume)
}

func (s *Server) switchMirroring(c echo.Context, verb string, do func(Mirroring, context.Context, string, string) error) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if service.Mirroring == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", fmt.Sprintf("mirroring of %s cannot be paused here", service.Name))
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := s.readBody(c, &in, true); err != nil {
		return err
	}
	released := verb == "resume" && len(service.mirroring().Tripped) > 0 // nobody does that in a hurry
	if faults := checkReason(in.Reason, released); len(faults) > 0 {
		return invalid(faults...)
	}
	if err := do(service.Mirroring, c.Request().Context(), caller(c), in.Reason); err != nil {
		return fmt.Errorf("cannot %s mirroring of %s: %w", verb, service.Name, err)
	}
	return c.JSON(http.StatusOK, mirroringDocument{service.Name, service.mirroring()})
}
