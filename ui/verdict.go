package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// apiVerdict answers 200 whatever the verdict is, since the pollers of delivery
// tools count anything else as a failure of their own. With wait it answers as
// soon as the decision is another than at the start of the call, or when the
// wait is over.
func (s *Server) apiVerdict(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	wait := q.wait("wait")
	if err := q.err("wait"); err != nil {
		return err
	}
	v := service.Judge.Verdict()
	if wait > 0 {
		v = s.await(c.Request().Context(), service, v.Decision, wait)
	}
	return respondVerdict(c, service, v)
}

func respondVerdict(c echo.Context, service *Service, v reports.Verdict) error {
	v.Step = service.Stepper.State().Step // the judge's own is up to a second old
	v.Reasons, v.NotCovered = list(v.Reasons), list(v.NotCovered)
	return c.JSON(http.StatusOK, v)
}

// apiRestartEvidence lets a candidate start over, for instance after a fault of
// its surroundings that its figures should not carry. It answers the verdict that
// follows.
func (s *Server) apiRestartEvidence(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if service.Evidence == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", fmt.Sprintf("the evidence on %s cannot be restarted here", service.Name))
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := s.readBody(c, &in, false); err != nil {
		return err
	}
	if faults := checkReason(in.Reason, true); len(faults) > 0 {
		return invalid(faults...)
	}
	if err := service.Evidence.RestartEvidence(c.Request().Context(), caller(c), in.Reason); err != nil {
		return fmt.Errorf("cannot restart the evidence on %s: %w", service.Name, err)
	}
	return respondVerdict(c, service, service.Judge.Verdict())
}

// await waits for another decision, the end of the wait, or the end of the
// server.
func (s *Server) await(ctx context.Context, service *Service, seen reports.Decision, wait time.Duration) reports.Verdict {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	stop := context.AfterFunc(s.stopping, cancel)
	defer stop()
	return service.Judge.Wait(ctx, seen)
}

// wait reads a duration; one longer than the bound is cut to it.
func (q *query) wait(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		q.fault(name, "want a duration such as 30s, found %.40q", text)
		return 0
	}
	return min(d, maxWait)
}

// decisionWord is a decision as people read it.
func decisionWord(d reports.Decision) string {
	switch d {
	case reports.Promote:
		return "Promote"
	case reports.Rollback:
		return "Roll back"
	}
	return "Hold"
}

// lead says the verdict in a sentence.
func lead(v reports.Verdict) string {
	for _, r := range v.Reasons {
		switch r.Code {
		case reports.NoTraffic:
			return "Nothing is known yet: no exchange was compared."
		case reports.StoreAway:
			return "Nothing can be said at the moment: the store is away."
		}
	}
	switch v.Decision {
	case reports.Promote:
		return "The candidate may take over: every endpoint passes every test."
	case reports.Rollback:
		return fmt.Sprintf("The candidate is worse than the primary: %s.", whatSpeaks(len(v.Reasons)))
	}
	return fmt.Sprintf("The candidate may not take over yet: %s.", whatIsMissing(len(v.Reasons)))
}

func whatSpeaks(n int) string {
	if n == 1 {
		return "one test says so"
	}
	return fmt.Sprintf("%d tests say so", n)
}

func whatIsMissing(n int) string {
	if n == 1 {
		return "one thing is missing"
	}
	return fmt.Sprintf("%d things are missing", n)
}
