package ui

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
	"parallax/reports"
)

// signature is that a person passes an endpoint, or a pool, that has too few exchanges, or takes
// that back.
type signature struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
	Until    string `json:"until"`
	By       string `json:"by"`
	Withdraw bool   `json:"withdraw"`
}

func (d signature) faults(now time.Time) []string {
	var faults []string
	if d.Endpoint == "" {
		faults = append(faults, "endpoint: is missing; it is a name as in reports, such as GET /orders/{id}")
	}
	faults = append(faults, checkReason(d.Reason, true)...)
	switch {
	case !d.Withdraw:
		faults = append(faults, divergence.SignOff{Until: d.Until}.Check(now)...)
	case d.Until != "":
		faults = append(faults, "until: has no meaning with withdraw")
	}
	if len(d.By) > maxBy {
		faults = append(faults, fmt.Sprintf("by: is longer than %d bytes", maxBy))
	}
	return faults
}

// sign keeps a sign-off with what is known of the endpoint by now.
func (s *Server) sign(ctx context.Context, service *Service, d signature) (divergence.SignOff, error) {
	if s.cfg.Decisions == nil {
		return divergence.SignOff{}, newProblem(http.StatusNotImplemented, "not_supported", "nothing keeps sign-offs here")
	}
	now := s.now().UTC()
	if faults := d.faults(now); len(faults) > 0 {
		return divergence.SignOff{}, invalid(faults...)
	}
	signed, err := d.of(service.Judge.Verdict())
	if err != nil {
		return divergence.SignOff{}, err
	}
	signed.At, signed.Until, signed.Reason, signed.Who = now, d.Until, d.Reason, d.By
	if err := s.cfg.Decisions.SignOff(ctx, service.Name, signed); err != nil {
		return signed, fmt.Errorf("cannot keep the sign-off of %s: %w", d.Endpoint, err)
	}
	s.log.Info("an endpoint was signed off", "service", service.Name, "endpoint", d.Endpoint, "until", d.Until, "withdrawn", signed.Withdrawn(), "who", signed.Who)
	return signed, nil
}

// of returns what is signed by now.
func (d signature) of(v reports.Verdict) (divergence.SignOff, error) {
	offer, known := offered(v, d.Endpoint)
	switch {
	case !known:
		return divergence.SignOff{}, invalid(fmt.Sprintf("endpoint: the verdict knows no %.200q", d.Endpoint))
	case d.Withdraw:
		return divergence.SignOff{Endpoint: d.Endpoint, Limits: []divergence.SignedLimit{}}, nil
	case offer == nil:
		return divergence.SignOff{}, newProblem(http.StatusConflict, "nothing_to_sign",
			"what a person may pass is an endpoint or a pool with some exchanges, but too few for its tests, and no rate that is above its limit; its verdict says what is")
	}
	return *offer, nil
}

// offered returns what may be signed of an endpoint or a pool, nil for nothing; false if the
// verdict has none of that name.
func offered(v reports.Verdict, name string) (offer *divergence.SignOff, known bool) {
	if q := poolOf(v, name); q != nil {
		return q.Offer, true
	}
	i := slices.IndexFunc(v.Endpoints, func(e reports.EndpointVerdict) bool { return e.Endpoint == name })
	if i < 0 {
		return nil, false
	}
	return v.Endpoints[i].Offer, true
}

// poolOf returns the pool that a reason names as its endpoint, nil if it is none.
func poolOf(v reports.Verdict, name string) *reports.PoolVerdict {
	i := slices.IndexFunc(v.Pools, func(q reports.PoolVerdict) bool { return q.Name() == name })
	if i < 0 {
		return nil
	}
	return &v.Pools[i]
}

func (s *Server) apiSignOff(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	var d signature
	if err := s.readBody(c, &d, false); err != nil {
		return err
	}
	d.By = signer(c, d.By)
	signed, err := s.sign(c.Request().Context(), service, d)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, signed)
}

// formSignOff is the form of an endpoint's page.
func (s *Server) formSignOff(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	form, err := s.readForm(c, maxRequestBody)
	if err != nil {
		return err
	}
	d := signature{Endpoint: form.Get("endpoint"), Reason: form.Get("reason"), Until: form.Get("until"), By: form.Get("by"), Withdraw: form.Get("withdraw") != ""}
	if d.Withdraw {
		d.Until = "" // the form always sends its field
	}
	d.By = signer(c, d.By)
	if _, err := s.sign(c.Request().Context(), service, d); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, endpointPath(service.Name, d.Endpoint))
}
