package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// maxReason bounds what a person writes about a step or about evidence, in bytes.
const maxReason = 500

// stepDocument is the answer about a step.
type stepDocument struct {
	Service string    `json:"service"`
	Step    int       `json:"step"`
	Who     string    `json:"who"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at,omitzero"` // left out while nobody moved it
	Paused  bool      `json:"paused"`
	Until   time.Time `json:"until,omitzero"` // until when a person's step stands against the policy

	Groups []groupDocument `json:"groups,omitempty"` // left out where all endpoints have one step

	Shared *SharedStep `json:"shared,omitempty"` // left out where it is this process's own

	Course *courseDocument `json:"course,omitempty"` // left out where there is no policy

	Users *audienceDocument `json:"users,omitempty"` // left out where nobody knows

	WayBack *wayBackDocument `json:"way_back,omitempty"` // left out where nobody knows

	Splitters []SplitterStatus `json:"splitters,omitempty"` // outside; left out while there are none
}

// groupDocument is where a group of endpoints stands, and the verdict on it.
type groupDocument struct {
	reports.Group
	Step     int              `json:"step"`
	At       time.Time        `json:"at,omitzero"`
	Decision reports.Decision `json:"verdict"`
	Text     string           `json:"text"` // the verdict as a sentence
}

// groups are those of the service as they stand in a state, in their order.
func (service *Service) groups(state reports.State) []groupDocument {
	var out []groupDocument
	v := service.Judge.Verdict()
	for _, g := range service.Groups {
		d := groupDocument{Group: g, Step: state.StepOf(g.Name), At: state.Groups[g.Name].At.UTC(), Decision: reports.Hold}
		if i := slices.IndexFunc(v.Groups, func(v reports.GroupVerdict) bool { return v.Group == g.Name }); i >= 0 {
			d.Decision, d.Text = v.Groups[i].Decision, v.Groups[i].Sentence()
		}
		out = append(out, d)
	}
	return out
}

// courseDocument is what the policy does with the step, also as a sentence.
type courseDocument struct {
	reports.Course
	Text string `json:"text"`
}

func (service *Service) step() stepDocument {
	state := service.Stepper.State()
	d := stepDocument{Service: service.Name, Step: state.Step, Who: state.Who, Reason: state.Reason, At: state.At.UTC(), Paused: state.Paused, Until: state.Until.UTC(), Splitters: service.outside(), WayBack: service.wayBack(), Groups: service.groups(state)}
	if service.Shared != nil {
		d.Shared = service.Shared()
	}
	if service.Promotion != nil {
		course := service.Promotion.Course()
		d.Course = &courseDocument{course, course.Sentence()}
		d.Users = service.audience(state.Step, course.Next)
	}
	return d
}

func (s *Server) apiStep(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, service.step())
}

func (s *Server) apiSetStep(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	var in struct {
		Step   *int   `json:"step"`
		Group  string `json:"group"` // empty: all
		Reason string `json:"reason"`
	}
	if err := s.readBody(c, &in, false); err != nil {
		return err
	}
	var faults []string
	switch {
	case in.Step == nil:
		faults = append(faults, "step: is missing; it is the share of users on the candidate in basis points, 0 to 10000")
	case *in.Step < 0 || *in.Step > 10_000:
		faults = append(faults, fmt.Sprintf("step: want 0 to 10000 basis points, found %d", *in.Step))
	}
	faults = append(faults, service.checkGroup(in.Group)...)
	faults = append(faults, checkReason(in.Reason, true)...)
	if len(faults) > 0 {
		return invalid(faults...)
	}
	if *in.Step > 0 && service.copying() != nil {
		return newProblem(http.StatusConflict, "copying", "the database of the candidate is being made anew: end or cancel the copy first")
	}
	if err := service.setStep(c, in.Group, *in.Step, in.Reason); err != nil {
		return fmt.Errorf("cannot set the step of %s: %w", service.Name, err)
	}
	return c.JSON(http.StatusOK, service.step())
}

func (service *Service) setStep(c echo.Context, group string, step int, reason string) error {
	ctx, who := c.Request().Context(), caller(c)
	if group == "" {
		return service.Stepper.SetStep(ctx, step, who, reason)
	}
	return service.Stepper.SetGroupStep(ctx, group, step, who, reason)
}

func (service *Service) checkGroup(name string) []string {
	names := service.Groups.Names()
	switch {
	case name == "" || slices.Contains(names, name):
		return nil
	case len(names) == 0:
		return []string{"group: there are none; the step is that of all endpoints"}
	}
	return []string{fmt.Sprintf("group: there is no %.70q; there are %s", name, strings.Join(names, ", "))}
}

// apiRollback takes a reason, and does without one: whoever needs it is in a
// hurry. It waits for splitters outside and for other mirrors, and says by 202 that not all
// have obeyed yet.
func (s *Server) apiRollback(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	var in struct {
		Reason string `json:"reason"`
		Force  bool   `json:"force"` // also while the primary is down
	}
	if err := s.readBody(c, &in, true); err != nil {
		return err
	}
	if faults := checkReason(in.Reason, false); len(faults) > 0 {
		return invalid(faults...)
	}
	back := service.Stepper.Rollback
	if in.Force {
		back = service.Stepper.ForceRollback
	}
	if err := back(c.Request().Context(), caller(c), in.Reason); err != nil {
		return fmt.Errorf("cannot roll %s back: %w", service.Name, err)
	}
	splitters, document := service.settled(c.Request().Context()), service.step()
	document.Splitters = splitters
	if slices.ContainsFunc(splitters, SplitterStatus.Pending) || document.Shared.Pending() {
		return c.JSON(http.StatusAccepted, document)
	}
	return c.JSON(http.StatusOK, document)
}

func checkReason(reason string, required bool) []string {
	switch {
	case required && strings.TrimSpace(reason) == "":
		return []string{"reason: is missing; say why, in a sentence"}
	case len(reason) > maxReason:
		return []string{fmt.Sprintf("reason: is longer than %d bytes", maxReason)}
	}
	return nil
}

func invalid(faults ...string) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid", strings.Join(faults, "; "))
	p.Faults = faults
	return p
}

// readBody reads one JSON document strictly and within bounds of size and time.
// No body at all is taken where it is optional.
func (s *Server) readBody(c echo.Context, into any, optional bool) error {
	return s.readBodyOf(c, into, optional, maxRequestBody)
}

// readBodyOf is readBody of up to so many bytes.
func (s *Server) readBodyOf(c echo.Context, into any, optional bool, most int64) error {
	r := c.Request()
	contentType := r.Header.Get("Content-Type")
	if optional && contentType == "" && r.ContentLength == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "media_type", fmt.Sprintf("want a body with Content-Type: application/json, found %.60q; curl takes -H 'Content-Type: application/json' -d '{...}'", contentType))
	}
	body, err := s.readText(c, most)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest("body: " + jsonFault(err))
	}
	if d.More() {
		return badRequest("body: there is more behind the document")
	}
	return nil
}

// readText reads a body within bounds of size and time.
func (s *Server) readText(c echo.Context, most int64) ([]byte, error) {
	control := http.NewResponseController(c.Response())
	if err := control.SetReadDeadline(time.Now().Add(bodyTime)); err == nil { // a recorder in a test has none
		defer control.SetReadDeadline(time.Time{}) // a failure means the connection is gone
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, newProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is longer than %d bytes", most))
	}
	if err != nil {
		return nil, badRequest("body: cannot be read")
	}
	return body, nil
}

// jsonFault says in our words what is wrong with a document.
func jsonFault(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends early"
	case errors.As(err, &kind):
		return fmt.Sprintf("%s cannot be a %s", kind.Field, kind.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
