package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// Flagger asks by webhooks, and takes a status of up to 202 for yes and any other for no. Of
// an answer of 500 and more it does not show the text, so that no is 403 with one line. What is
// yes depends on the hook: a hook of type rollback rolls back on yes.
//
//	hook of Flagger                                               route     yes on
//	confirm-rollout, confirm-traffic-increase, confirm-promotion  confirm   promote
//	pre-rollout, rollout                                          progress  promote, hold
//	rollback                                                      rollback  rollback
//	event, post-rollout                                           event     anything
var flaggerHooks = map[string]func(reports.Decision) bool{
	"confirm":  func(d reports.Decision) bool { return d == reports.Promote },
	"progress": func(d reports.Decision) bool { return d != reports.Rollback },
	"rollback": func(d reports.Decision) bool { return d == reports.Rollback },
	"event":    func(reports.Decision) bool { return true },
}

// flaggerPayload is what is looked at of a webhook's payload.
type flaggerPayload struct {
	Metadata struct {
		CandidateVersion string `json:"candidateVersion"` // as for [reports.Verdict.ForCandidate]
	} `json:"metadata"`
}

// flagger answers one of Flagger's hooks from memory: Flagger gives up after 10 s.
func (s *Server) flagger(hook string) echo.HandlerFunc {
	yes := flaggerHooks[hook]
	return func(c echo.Context) error {
		service, err := s.service(c)
		if err != nil {
			return err
		}
		v := service.Judge.Verdict()
		if hook == "event" {
			return c.String(http.StatusOK, v.Line()+"\n") // whatever it tells
		}
		if version, err := flaggerVersion(c.Request()); err != nil {
			return err
		} else if version != "" {
			v = v.ForCandidate(version)
		}
		status := http.StatusOK
		if !yes(v.Decision) {
			status = http.StatusForbidden
		}
		return c.String(status, v.Line()+"\n")
	}
}

// flaggerVersion reads the version of the candidate that a payload names, "" for none.
func flaggerVersion(r *http.Request) (string, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil || len(body) > maxRequestBody {
		return "", newProblem(http.StatusBadRequest, "bad_request", fmt.Sprintf("cannot read the payload: want up to %d bytes", maxRequestBody))
	}
	var payload flaggerPayload
	if len(body) == 0 {
		return "", nil
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		return "", newProblem(http.StatusBadRequest, "bad_request", fmt.Sprintf("cannot read the payload as JSON: %v", err))
	}
	return payload.Metadata.CandidateVersion, nil
}
