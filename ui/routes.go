package ui

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
	"parallax/reports"
)

//go:embed templates static openapi.json
var files embed.FS

// kind says how a route's requests are bounded and how its errors look.
type kind int

const (
	health   kind = iota // answers from memory, always
	api                  // may ask the store; errors are problem documents
	apiWrite             // changes something; the same
	apiWait              // may take as long as a long poll
	apiTake              // takes a large body into memory
	apiGive              // answers with more than fits into memory, piece by piece
	page                 // may ask the store; errors are pages
	asset                // a file
)

// route is one line of the route table: everything the server answers is there.
type route struct {
	method, path string
	kind         kind
	needs        access
	handle       echo.HandlerFunc
}

// endpointRoute is the page of an endpoint: figures for whoever may see them, and values for
// whoever may read those.
const endpointRoute = "/services/:service/endpoint"

func (s *Server) routes() []route {
	const service = "/api/v1/services/:service"
	return []route{
		{"GET", "/livez", health, open, s.livez},
		{"GET", "/readyz", health, open, s.readyz},
		{"GET", "/metrics", health, figures, s.metrics()},
		{"GET", "/openapi.json", asset, open, serveFile("openapi.json", "application/json")},

		{"GET", "/api/v1/services", health, figures, s.apiServices},
		{"POST", "/api/v1/reload", apiWrite, production, s.apiReload},
		{"GET", "/api/v1/audit", api, production, s.apiAudit},
		{"GET", service + "/report", api, verdicts, s.apiReport},
		{"GET", service + "/issues", api, values, s.apiIssues},
		{"GET", service + "/issues/:fingerprint", api, values, s.apiIssue},
		{"PATCH", service + "/issues/:fingerprint", apiWrite, values, s.apiDecide},
		{"GET", service + "/exchanges", api, values, s.apiExchanges},
		{"GET", service + "/exchanges/:id", api, values, s.apiExchange},
		{"GET", service + "/effects", api, values, s.apiEffects},
		{"GET", service + "/written", api, values, s.apiWritten},
		{"GET", service + "/missing", api, values, s.apiMissing},
		{"GET", service + "/verdict", apiWait, verdicts, s.apiVerdict},
		{"GET", service + "/evidence", apiGive, figures, s.apiEvidence},
		{"GET", service + "/step", health, figures, s.apiStep},
		{"PUT", service + "/step", apiWrite, production, s.apiSetStep},
		{"POST", service + "/rollback", apiWrite, evidence, s.apiRollback},
		{"POST", service + `/evidence\:restart`, apiWrite, evidence, s.apiRestartEvidence}, // echo's way to write a colon

		{"POST", service + `/promotion\:pause`, apiWrite, evidence, s.apiPausePromotion},
		{"POST", service + `/promotion\:resume`, apiWrite, production, s.apiResumePromotion},

		{"POST", service + "/signoffs", apiWrite, evidence, s.apiSignOff},

		{"GET", service + "/mirroring", health, figures, s.apiMirroring},
		{"POST", service + `/mirroring\:pause`, apiWrite, evidence, s.apiPauseMirroring},
		{"POST", service + `/mirroring\:resume`, apiWrite, evidence, s.apiResumeMirroring},
		{"GET", service + "/copy", health, figures, s.apiCopy},
		{"POST", service + `/copy\:begin`, apiWait, production, s.apiBeginCopy},
		{"POST", service + `/copy\:end`, apiWait, production, s.apiEndCopy},
		{"POST", service + `/copy\:cancel`, apiWait, production, s.apiCancelCopy},

		{"GET", service + "/rules", api, figures, s.apiRules},
		{"PUT", service + "/rules", apiWrite, evidence, s.apiSaveRules},
		{"GET", service + "/rules/:version", api, figures, s.apiRuleSet},
		{"POST", service + `/rules\:dry-run`, api, values, s.apiDryRun},
		{"GET", service + `/rules\:suggest`, api, values, s.apiSuggestRules},
		{"POST", service + `/rules\:rejudge`, api, evidence, s.apiRejudge},
		{"POST", service + `/rules\:blind-spots`, api, values, s.apiBlindSpots},
		{"GET", service + `/identifiers\:suggest`, api, values, s.apiSuggestIdentifiers},

		{"POST", "/api/v1/effects/:service/:leg", apiTake, evidence, s.apiTakeEvents},

		{"POST", "/api/v1/flagger/confirm/:service", health, verdicts, s.flagger("confirm")},
		{"POST", "/api/v1/flagger/progress/:service", health, verdicts, s.flagger("progress")},
		{"POST", "/api/v1/flagger/rollback/:service", health, verdicts, s.flagger("rollback")},
		{"POST", "/api/v1/github/deployments", apiTake, open, s.apiGitHub}, // it is signed
		{"POST", "/api/v1/flagger/event/:service", health, verdicts, s.flagger("event")},

		{"GET", "/login", page, open, s.pageLogin},
		{"POST", "/login", page, open, s.formLogin},
		{"POST", "/logout", page, open, s.formLogout},
		{"GET", "/", page, figures, s.pageOverview},
		{"GET", "/health", page, figures, s.pageHealth},
		{"GET", "/services/:service", page, figures, s.pageService},
		{"GET", endpointRoute, page, figures, s.pageEndpoint},
		{"POST", "/services/:service/endpoint", page, evidence, s.formSignOff},
		{"GET", "/services/:service/promotion", page, figures, s.pagePromotion},
		{"POST", "/services/:service/promotion/rollback", page, evidence, s.formPromotion((*Server).goBack)},
		{"POST", "/services/:service/promotion/pause", page, evidence, s.formPromotion((*Server).holdOn)},
		{"POST", "/services/:service/promotion/resume", page, production, s.formPromotion((*Server).letGo)},
		{"POST", "/services/:service/promotion/step", page, production, s.formPromotion((*Server).goOn)},
		{"GET", "/services/:service/issues", page, values, s.pageIssues},
		{"POST", "/services/:service/issues", page, values, s.formDecideAll},
		{"GET", "/services/:service/issues/:fingerprint", page, values, s.pageIssue},
		{"POST", "/services/:service/issues/:fingerprint", page, values, s.formDecide},
		{"GET", "/services/:service/exchanges/:id", page, values, s.pageExchange},
		{"GET", "/services/:service/rules", page, figures, s.pageRules},
		{"POST", "/services/:service/rules", page, values, s.pageDryRun},
		{"POST", "/services/:service/rules/save", page, evidence, s.formSaveRules},
		{"GET", "/services/:service/rules/:version", page, figures, s.pageRuleSet},
		{"GET", "/services/:service/blind-spots", page, values, s.pageBlindSpots},
		{"GET", "/services/:service/written", page, values, s.pageWritten},
		{"GET", "/static/style.css", asset, open, serveFile("static/style.css", "text/css; charset=utf-8")},
		{"GET", "/static/charts.js", asset, open, serveFile("static/charts.js", "text/javascript; charset=utf-8")},
		{"GET", "/static/live.js", asset, open, serveFile("static/live.js", "text/javascript; charset=utf-8")},
		{"GET", "/static/htmx.js", asset, open, serveFile("static/htmx-2.0.11/htmx.min.js", "text/javascript; charset=utf-8")},
		{"GET", "/static/uplot.js", asset, open, serveFile("static/uplot-1.6.32/uPlot.iife.min.js", "text/javascript; charset=utf-8")},
		{"GET", "/static/uplot.css", asset, open, serveFile("static/uplot-1.6.32/uPlot.min.css", "text/css; charset=utf-8")},
		{"GET", "/static/mark.svg", asset, open, serveFile("static/mark.svg", "image/svg+xml")},
	}
}

// router puts the table behind the guards. HEAD is answered wherever GET is.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.respondError
	e.Use(secure, s.recovered, knownHost(s.cfg.Hosts), sameOrigin())
	shared := slots(maxAtOnce)
	guards := map[kind][]echo.MiddlewareFunc{
		api:      {shared, within(requestTime)},
		apiWrite: {shared, within(requestTime)},
		apiWait:  {slots(maxWaiting)},
		apiTake:  {slots(maxTaking), within(requestTime)},
		apiGive:  {slots(maxExporting)},
		page:     {shared, within(requestTime)},
	}
	for _, r := range s.routes() {
		if s.cfg.NoPages && r.kind == page {
			continue
		}
		guards := append([]echo.MiddlewareFunc{s.audited(r), s.admit(r.needs)}, guards[r.kind]...)
		e.Add(r.method, r.path, r.handle, guards...)
		if r.method == http.MethodGet {
			e.Add(http.MethodHead, r.path, r.handle, guards...)
		}
	}
	return e
}

// within bounds how long a request may take.
func within(d time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			whole := c.Request()
			ctx, cancel := context.WithTimeout(whole.Context(), d)
			defer cancel()
			defer c.SetRequest(whole) // whoever reads the error asks whether the caller left, not whether we are done
			c.SetRequest(whole.WithContext(ctx))
			return next(c)
		}
	}
}

// serveFile answers with an embedded file, which a browser may keep for a while.
func serveFile(name, contentType string) echo.HandlerFunc {
	return func(c echo.Context) error {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "max-age=300")
		return c.Blob(http.StatusOK, contentType, data)
	}
}

// respondError is the one place where an error becomes an answer: a problem
// document for programs, a page for people.
func (s *Server) respondError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := s.problemOf(err, c)
	p.Instance = c.Request().URL.EscapedPath()
	if forPeople(c.Request()) {
		s.errorPage(c, p)
		return
	}
	writeProblem(c.Response(), p)
}

func forPeople(r *http.Request) bool {
	for _, prefix := range []string{"/api/", "/livez", "/readyz", "/metrics", "/openapi.json"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html") || strings.HasPrefix(r.URL.Path, "/services") || r.URL.Path == "/" || r.URL.Path == "/health" || r.URL.Path == "/login" || r.URL.Path == "/logout"
}

// problemOf tells what kind of error it is.
func (s *Server) problemOf(err error, c echo.Context) *problem {
	var p *problem
	var routing *echo.HTTPError
	var refused reports.Refusal
	var given Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &routing):
		return routingProblem(routing.Code, c)
	case errors.As(err, &given):
		return newProblem(given.Status, given.Word, given.Text)
	case errors.As(err, &refused):
		return newProblem(http.StatusConflict, string(refused.Turn), refused.Text)
	case errors.Is(err, divergence.ErrNotFound):
		return notFound(err.Error())
	case errors.Is(err, divergence.ErrAway), errors.Is(err, context.DeadlineExceeded):
		return storeAway(err)
	case c.Request().Context().Err() != nil: // the caller left; nobody reads this
		return newProblem(http.StatusServiceUnavailable, "caller_gone", "the caller left")
	}
	s.log.Error("admin server: a request failed", "route", c.Path(), "error", err)
	return newProblem(http.StatusInternalServerError, "defect", "Parallax could not answer this; its log says more")
}

func routingProblem(status int, c echo.Context) *problem {
	switch status {
	case http.StatusNotFound:
		return notFound("there is nothing at this path; /openapi.json lists what there is")
	case http.StatusMethodNotAllowed:
		return newProblem(status, "method_not_allowed", c.Request().Method+" is not a method of this path; /openapi.json lists those that are")
	}
	return newProblem(status, "http", "")
}
