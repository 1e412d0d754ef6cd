package ui

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// Changes tells what people and the policy changed about who gets which version.
type Changes interface {
	// Changes returns up to limit changes of a service, the latest first.
	Changes(ctx context.Context, service string, limit int) ([]divergence.Decision, error)
}

// maxChanges is how many changes the page shows.
const maxChanges = 100

// promotionView is what the page about who gets which version shows.
type promotionView struct {
	Name    string
	Step    stepDocument
	Legs    []LegStatus
	Changes []changeLine
	Away    string // why there is no history; empty: there is
	URL     string

	Back, Forward permit

	Refused []string   // why what was asked for was not done
	Form    url.Values // as it was filled in then
}

// permit says whether whoever looks may press the buttons of one kind.
type permit struct {
	May   bool
	Takes Role // the least role that may
}

// changeLine is one change in words.
type changeLine struct {
	At   time.Time
	What string
	Who  string
	Why  string
}

func promotionPath(service string) string { return servicePath(service) + "/promotion" }

func (s *Server) pagePromotion(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return s.showPromotion(c, service, http.StatusOK, promotionView{})
}

// showPromotion shows the page with what is given of the view.
func (s *Server) showPromotion(c echo.Context, service *Service, status int, given promotionView) error {
	v := promotionView{
		Refused: given.Refused, Form: given.Form,
		Name: service.Name, Step: service.step(), Legs: service.legs(), URL: promotionPath(service.Name),
		Back: s.permits(c, evidence), Forward: s.permits(c, production),
	}
	changes, err := s.cfg.Store.Changes(c.Request().Context(), service.Name, maxChanges)
	if err != nil {
		v.Away = err.Error()
	}
	for _, d := range changes {
		v.Changes = append(v.Changes, changeLine{d.At, changeText(d), d.Who, d.Note})
	}
	crumbs := []link{{Text: service.Name, URL: servicePath(service.Name)}, {Text: "Promotion", Current: true}}
	return s.render(c, status, "promotion", "Promotion of "+service.Name, service.Name, crumbs, v)
}

// permits reports whether whoever asks may do what needs so much.
func (s *Server) permits(c echo.Context, needs access) permit {
	holder, known := c.Get(holderKey).(Holder)
	return permit{s.cfg.Door == nil || known && reach[holder.Role] >= needs, least(needs)}
}

// changeText is what a decision changed, in words.
func changeText(d divergence.Decision) string {
	of := ""
	if groups, ok := strings.CutPrefix(d.Key, "step of "); ok {
		of = " of " + groups
	}
	switch d.Kind {
	case "rollback":
		return "everybody" + of + " back to the primary"
	case "step":
		if step, err := strconv.Atoi(d.Value); err == nil {
			return stepShare(step) + " of users" + of + " to the candidate"
		}
	case "promotion":
		return map[string]string{"pause": "the policy was paused", "resume": "the policy goes on"}[d.Key]
	case divergence.RestartKind:
		return "evidence starts anew"
	case divergence.RulesKind:
		return "rules were saved"
	}
	return strings.TrimSpace(d.Kind + " " + d.Key + " " + d.Value)
}

// formPromotion is one of the page's buttons: it reads the form, does something about the
// service, and shows the page again. What is refused stays in the form, and the page says why.
func (s *Server) formPromotion(do func(s *Server, c echo.Context, service *Service, form url.Values) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		service, err := s.service(c)
		if err != nil {
			return err
		}
		form, err := s.readForm(c, maxRequestBody)
		if err != nil {
			return err
		}
		if err := do(s, c, service, form); err != nil {
			p := s.problemOf(err, c)
			if p.Status != http.StatusConflict && p.Status != http.StatusUnprocessableEntity {
				return err
			}
			refused := p.Faults
			if len(refused) == 0 {
				refused = []string{p.Detail}
			}
			return s.showPromotion(c, service, p.Status, promotionView{Refused: refused, Form: form})
		}
		return c.Redirect(http.StatusSeeOther, promotionPath(service.Name))
	}
}

// goBack takes everybody back. It asks for nothing: whoever needs it is in a hurry.
func (s *Server) goBack(c echo.Context, service *Service, form url.Values) error {
	reason := form.Get("reason")
	if faults := checkReason(reason, false); len(faults) > 0 {
		return invalid(faults...)
	}
	back := service.Stepper.Rollback
	if form.Get("force") != "" {
		back = service.Stepper.ForceRollback
	}
	if err := back(c.Request().Context(), caller(c), reason); err != nil {
		return fmt.Errorf("cannot roll %s back: %w", service.Name, err)
	}
	return nil
}

// goOn moves the step. More users on the candidate take the service's name, typed.
func (s *Server) goOn(c echo.Context, service *Service, form url.Values) error {
	step, fault := stepOf(form.Get("share"))
	var faults []string
	if fault != "" {
		faults = append(faults, fault)
	}
	group, reason := form.Get("group"), form.Get("reason")
	faults = append(faults, service.checkGroup(group)...)
	faults = append(faults, checkReason(reason, true)...)
	if state := service.Stepper.State(); fault == "" && step > state.StepOf(group) && form.Get("confirm") != service.Name {
		faults = append(faults, fmt.Sprintf("confirm: more users than now would meet the candidate; type the name of the service, %s, to confirm", service.Name))
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	if step > 0 && service.copying() != nil {
		return newProblem(http.StatusConflict, "copying", "the database of the candidate is being made anew: end or cancel the copy first")
	}
	if err := service.setStep(c, group, step, reason); err != nil {
		return fmt.Errorf("cannot set the step of %s: %w", service.Name, err)
	}
	return nil
}

// stepOf reads a share of users in percent, as basis points.
func stepOf(text string) (step int, fault string) {
	share, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	basis := share * 100
	if err != nil || math.IsNaN(share) || basis < 0 || basis > 10_000 || math.Abs(basis-math.Round(basis)) > 1e-6 {
		return 0, fmt.Sprintf("share: want a percentage from 0 to 100 in steps of 0.01, found %.20q", text)
	}
	return int(math.Round(basis)), ""
}

// holdOn pauses the policy.
func (s *Server) holdOn(c echo.Context, service *Service, form url.Values) error {
	return switchOf(c, service, form, false, Promotion.Pause)
}

// letGo lets the policy go on.
func (s *Server) letGo(c echo.Context, service *Service, form url.Values) error {
	return switchOf(c, service, form, true, Promotion.Resume)
}

func switchOf(c echo.Context, service *Service, form url.Values, explained bool, do func(Promotion, context.Context, string, string) error) error {
	if service.Promotion == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", fmt.Sprintf("there is no policy here that moves the step of %s", service.Name))
	}
	reason := form.Get("reason")
	if faults := checkReason(reason, explained); len(faults) > 0 {
		return invalid(faults...)
	}
	if err := do(service.Promotion, c.Request().Context(), caller(c), reason); err != nil {
		return fmt.Errorf("cannot switch the promotion of %s: %w", service.Name, err)
	}
	return nil
}
