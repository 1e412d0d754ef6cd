package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"parallax"
)

// Copying makes the database of the candidate anew, from a copy of the primary's that is
// taken while callers are served. Errors are sentences for people.
type Copying interface {
	// Copy returns the copy that is being made, or the last one; nil: there was none. It
	// does not block.
	Copy() *Copy
	// BeginCopy keeps requests from the candidate, waits until it is quiet, and takes a
	// snapshot of the primary's database, which is there until the copy ends.
	BeginCopy(ctx context.Context, who, reason string) error
	// EndCopy says that the candidate works on the copy: what the copy does not hold is
	// caught up from now on.
	EndCopy(ctx context.Context, who, reason string) error
	// CancelCopy says that the candidate works on what it had before: all that it has
	// missed meanwhile is caught up.
	CancelCopy(ctx context.Context, who, reason string) error
}

// Copy is that the candidate's database is made anew, or was.
type Copy struct {
	Leg      string    `json:"leg"`
	State    string    `json:"state"` // beginning, copying or copied
	Who      string    `json:"who,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended,omitzero"`
	Position string    `json:"position,omitempty"` // in the log of the primary's database: the copy has what was committed until there
	Snapshot string    `json:"snapshot,omitempty"` // for pg_dump --snapshot, while it is copying
}

// copyDocument is the answer about a copy.
type copyDocument struct {
	Service string        `json:"service"`
	Copy    *Copy         `json:"copy"`             // null: there was none
	Missed  *MissedWrites `json:"missed,omitempty"` // by the candidate
}

func (service *Service) copyDocument() copyDocument {
	out := copyDocument{Service: service.Name}
	if service.Copying != nil {
		out.Copy = service.Copying.Copy()
	}
	for _, l := range service.legs() {
		if l.Leg == parallax.Candidate.String() {
			out.Missed = l.Missed
		}
	}
	return out
}

// copying returns the copy that is being made; nil: none is.
func (service *Service) copying() *Copy {
	if service.Copying == nil {
		return nil
	}
	if c := service.Copying.Copy(); c != nil && c.Ended.IsZero() {
		return c
	}
	return nil
}

func (s *Server) apiCopy(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, service.copyDocument())
}

func (s *Server) apiBeginCopy(c echo.Context) error  { return s.changeCopy(c, Copying.BeginCopy) }
func (s *Server) apiEndCopy(c echo.Context) error    { return s.changeCopy(c, Copying.EndCopy) }
func (s *Server) apiCancelCopy(c echo.Context) error { return s.changeCopy(c, Copying.CancelCopy) }

// copyTime bounds how long beginning a copy takes: longer than requests and transactions
// that are under way.
const copyTime = 2 * time.Minute

func (s *Server) changeCopy(c echo.Context, do func(Copying, context.Context, string, string) error) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if service.Copying == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", fmt.Sprintf("no database of %s can be copied here", service.Name))
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := s.readBody(c, &in, true); err != nil {
		return err
	}
	if faults := checkReason(in.Reason, false); len(faults) > 0 {
		return invalid(faults...)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), copyTime)
	defer cancel()
	if err := do(service.Copying, ctx, caller(c), in.Reason); err != nil {
		return newProblem(http.StatusConflict, "cannot_copy", err.Error())
	}
	return c.JSON(http.StatusOK, service.copyDocument())
}
