package ui

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Deployments takes deliveries of GitHub's about deployments that wait for a verdict. What speaks for a delivery is
// its signature.
type Deployments interface {
	// Take says in a few words what becomes of a delivery. An error that is a [Refusal] is answered as it says.
	Take(event, signature string, body []byte) (said string, err error)
}

// Refusal is why a request is not granted, as its answer: an error.
type Refusal struct {
	Status int
	Word   string // of the problem's type
	Text   string
}

func (r Refusal) Error() string { return r.Text }

// maxDelivery bounds a delivery of GitHub's, in bytes; they are some tens of KiB.
const maxDelivery = 1 << 20

func (s *Server) apiGitHub(c echo.Context) error {
	if s.cfg.Deployments == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "no deployment of GitHub's is waited for here: see github in the configuration")
	}
	body, err := s.readText(c, maxDelivery)
	if err != nil {
		return err
	}
	h := c.Request().Header
	said, err := s.cfg.Deployments.Take(h.Get("X-GitHub-Event"), h.Get("X-Hub-Signature-256"), body)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, map[string]string{"said": said})
}
