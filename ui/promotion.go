package ui

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

// apiPausePromotion takes a reason, and does without one: whoever needs it is in a hurry.
func (s *Server) apiPausePromotion(c echo.Context) error {
	return s.switchPromotion(c, "pause", false, Promotion.Pause)
}

func (s *Server) apiResumePromotion(c echo.Context) error {
	return s.switchPromotion(c, "resume", true, Promotion.Resume)
}

func (s *Server) switchPromotion(c echo.Context, verb string, explained bool, do func(Promotion, context.Context, string, string) error) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if service.Promotion == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", fmt.Sprintf("there is no policy here that moves the step of %s", service.Name))
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := s.readBody(c, &in, !explained); err != nil {
		return err
	}
	if faults := checkReason(in.Reason, explained); len(faults) > 0 {
		return invalid(faults...)
	}
	if err := do(service.Promotion, c.Request().Context(), caller(c), in.Reason); err != nil {
		return fmt.Errorf("cannot %s the promotion of %s: %w", verb, service.Name, err)
	}
	return c.JSON(http.StatusOK, service.step())
}
