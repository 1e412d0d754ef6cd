package ui

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parallax/divergence"
	"parallax/reports"
)

// doorOf is a door at which the name of a role, or of a role and a service, is its token.
type doorOf struct{}

func (doorOf) Holder(token string) (Holder, bool) {
	role, service, scoped := strings.Cut(token, "@")
	h := Holder{Name: "a " + role, Role: Role(role)}
	if scoped {
		h.Services = []string{service}
	}
	return h, slices.Contains(Roles, h.Role)
}

func guarded(t *testing.T) *rig {
	return newRig(t, func(c *Config) { c.Door = doorOf{} })
}

// mayCall is the least role that each route takes, empty where it takes none.
var mayCall = map[string]Role{
	"GET /livez": "", "GET /readyz": "", "GET /openapi.json": "", "POST /api/v1/github/deployments": "", "GET /static/style.css": "", "GET /static/mark.svg": "", "GET /static/htmx.js": "", "GET /static/live.js": "", "GET /static/charts.js": "", "GET /static/uplot.js": "", "GET /static/uplot.css": "",
	"GET /login": "", "POST /login": "", "POST /logout": "",

	"GET /api/v1/services/:service/verdict":   CI,
	"GET /api/v1/services/:service/report":    CI,
	"POST /api/v1/flagger/confirm/:service":   CI,
	"POST /api/v1/flagger/progress/:service":  CI,
	"POST /api/v1/flagger/rollback/:service":  CI,
	"POST /api/v1/flagger/event/:service":     CI,
	"GET /metrics":                            Viewer,
	"GET /api/v1/services":                    Viewer,
	"GET /api/v1/services/:service/evidence":  Viewer,
	"GET /api/v1/services/:service/step":      Viewer,
	"GET /api/v1/services/:service/mirroring": Viewer,
	"GET /api/v1/services/:service/copy":      Viewer,
	"GET /api/v1/services/:service/rules":     Viewer, "GET /api/v1/services/:service/rules/:version": Viewer,
	"GET /services/:service/rules": Viewer, "GET /services/:service/rules/:version": Viewer,

	"GET /services/:service/promotion": Viewer,

	"GET /": Viewer, "GET /health": Viewer, "GET /services/:service": Viewer,
	"GET /services/:service/endpoint": Viewer,
	"GET /services/:service/issues":   Reviewer, "GET /services/:service/issues/:fingerprint": Reviewer, "POST /services/:service/issues/:fingerprint": Reviewer, "POST /services/:service/issues": Reviewer,
	"GET /services/:service/exchanges/:id": Reviewer, "POST /services/:service/rules": Reviewer, "GET /services/:service/blind-spots": Reviewer,
	"GET /services/:service/written":                      Reviewer,
	"GET /api/v1/services/:service/issues":                Reviewer,
	"GET /api/v1/services/:service/issues/:fingerprint":   Reviewer,
	"PATCH /api/v1/services/:service/issues/:fingerprint": Reviewer,
	"GET /api/v1/services/:service/exchanges":             Reviewer, "GET /api/v1/services/:service/exchanges/:id": Reviewer,
	"GET /api/v1/services/:service/effects": Reviewer, "GET /api/v1/services/:service/written": Reviewer, "GET /api/v1/services/:service/missing": Reviewer,
	`POST /api/v1/services/:service/rules\:dry-run`: Reviewer, `GET /api/v1/services/:service/rules\:suggest`: Reviewer,
	`POST /api/v1/services/:service/rules\:blind-spots`: Reviewer, `GET /api/v1/services/:service/identifiers\:suggest`: Reviewer,

	"POST /api/v1/services/:service/rollback":          Editor,
	`POST /api/v1/services/:service/evidence\:restart`: Editor, `POST /api/v1/services/:service/promotion\:pause`: Editor,
	"POST /services/:service/promotion/rollback": Editor, "POST /services/:service/promotion/pause": Editor,
	"POST /services/:service/promotion/resume": Admin, "POST /services/:service/promotion/step": Admin,
	"POST /api/v1/services/:service/signoffs": Editor, "POST /services/:service/endpoint": Editor,
	`POST /api/v1/services/:service/mirroring\:pause`: Editor, `POST /api/v1/services/:service/mirroring\:resume`: Editor,
	"PUT /api/v1/services/:service/rules": Editor, "POST /services/:service/rules/save": Editor,
	`POST /api/v1/services/:service/rules\:rejudge`: Editor, "POST /api/v1/effects/:service/:leg": Editor,

	"POST /api/v1/reload":                              Admin,
	"GET /api/v1/audit":                                Admin,
	"PUT /api/v1/services/:service/step":               Admin,
	`POST /api/v1/services/:service/promotion\:resume`: Admin,
	`POST /api/v1/services/:service/copy\:begin`:       Admin,
	`POST /api/v1/services/:service/copy\:end`:         Admin,
	`POST /api/v1/services/:service/copy\:cancel`:      Admin,
}

// TestWhoMayCallEachRoute calls every route that is registered without a token, with a wrong one, with one of each
// role and with one of each role for another service. One that nobody listed fails it.
func TestWhoMayCallEachRoute(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	for _, registered := range r.echo.Routes() {
		name := registered.Method + " " + registered.Path
		if registered.Method == "echo_route_not_found" {
			continue
		}
		least, listed := mayCall[strings.Replace(name, "HEAD ", "GET ", 1)]
		if !listed {
			t.Errorf("nobody says who may call %s", name)
			continue
		}
		target := strings.NewReplacer(":service", "shop", ":leg", "candidate", ":fingerprint", "1-0123456789abcdef", ":id", firstID, ":version", "aaaa0000bbbb", `\:`, ":").Replace(registered.Path)
		got := func(token string) string {
			var headers []string
			if token != "" {
				headers = []string{"Authorization", "Bearer " + token}
			}
			switch answer := r.call(registered.Method, target, "", headers...); answer.Code {
			case http.StatusUnauthorized:
				if answer.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%s: 401 without a word on how", name)
				}
				return "who"
			case http.StatusForbidden:
				if registered.Method != http.MethodHead && !strings.Contains(answer.Body.String(), "the token is ") { // Flagger's no is 403 too
					return "let in"
				}
				return "no"
			default:
				return "let in"
			}
		}
		want := func(token, want string) {
			t.Helper()
			if least == "" {
				want = "let in"
			}
			if found := got(token); found != want {
				t.Errorf("%s with %q: %s, want %s", name, token, found, want)
			}
		}
		want("", "who")
		want("nonsense", "who")
		for i, role := range Roles {
			may := "no"
			if i >= slices.Index(Roles, least) {
				may = "let in"
			}
			want(string(role), may)
			want(string(role)+"@cart", "no")
			if !strings.Contains(registered.Path, ":service") {
				may = "no" // it is about all of them
			}
			want(string(role)+"@shop", may)
		}
	}
	if len(mayCall) == 0 || mayCall["GET /api/v1/services/:service/verdict"] != CI {
		t.Error("CI may not read the verdict")
	}
}

// TestAChangeIsSigned by who holds the token, whatever it says besides.
func TestAChangeIsSigned(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	answer := r.call("PUT", "/api/v1/services/shop/step", `{"step":500,"reason":"first users"}`, "Authorization", "Bearer admin")
	if s := r.stepper.State(); answer.Code != 200 || s.Who != "a admin" {
		t.Errorf("%d, by %q", answer.Code, s.Who)
	}
	body := `{"endpoint":"GET /health","reason":"twice a day","until":"2026-12-31","by":"ann"}`
	answer = r.call("POST", "/api/v1/services/shop/signoffs", body, "Authorization", "bearer editor")
	var signed divergence.SignOff
	if err := json.Unmarshal(answer.Body.Bytes(), &signed); err != nil || answer.Code != 200 || signed.Who != "ann (a editor)" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// TestReadinessTellsStrangersNothing but whether this is ready.
func TestReadinessTellsStrangersNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Door, c.Dependencies = doorOf{}, storeIsAway })
	for token, want := range map[string]bool{"": false, "ci": false, "viewer@shop": false, "viewer": true} {
		answer := r.call("GET", "/readyz", "", "Authorization", "Bearer "+token)
		if told := strings.Contains(answer.Body.String(), "away"); answer.Code != 200 || told != want {
			t.Errorf("%q: %d %s", token, answer.Code, answer.Body)
		}
	}
}

// TestAViewerSeesFiguresAlone on the pages that are open to it; a reviewer sees there what callers had.
func TestAViewerSeesFiguresAlone(t *testing.T) {
	t.Parallel()
	const row = "total 21.07 / 21.08"
	r := newRig(t, func(c *Config) {
		c.Door = doorOf{}
		c.Services[0].Tables = func() *reports.Tables {
			return &reports.Tables{Tables: []reports.TableState{{Table: "orders", Differences: 1, First: []string{row}}}}
		}
	})
	for role, sees := range map[string]bool{"ci": false, "viewer": false, "reviewer": true} {
		answer := r.call("GET", "/api/v1/services/shop/report", "", "Authorization", "Bearer "+role)
		if text := answer.Body.String(); answer.Code != 200 || !strings.Contains(text, `"differences":1`) || strings.Contains(text, row) != sees {
			t.Errorf("the report for %s: %d %s", role, answer.Code, text)
		}
	}
	for target, shows := range map[string][]string{
		"/": {"Where every request went", row}, "/services/shop": {"Where every request went", row},
		"/services/shop/endpoint?endpoint=GET+%2Forders%2F%7Bid%7D": {"How both legs answered", "2026-11-21T11:58:31Z"},
	} {
		for role, sees := range map[string]bool{"viewer": false, "viewer@shop": false, "reviewer": true} {
			if target == "/" && role == "viewer@shop" {
				continue
			}
			answer := r.call("GET", target, "", "Authorization", "Bearer "+role)
			text := answer.Body.String()
			if answer.Code != 200 || !strings.Contains(text, "GET /orders/{id}") || !strings.Contains(text, shows[0]) {
				t.Fatalf("%s of %s: %d\n%s", role, target, answer.Code, text)
			}
			for _, value := range []string{"59.95", shows[1], "/exchanges/" + firstID} {
				if strings.Contains(text, value) != sees {
					t.Errorf("%s of %s sees %q: %t, want %t", role, target, value, !sees, sees)
				}
			}
			if told := strings.Contains(text, "takes a token of role reviewer"); told == sees {
				t.Errorf("%s of %s is told that it takes another role: %t", role, target, told)
			}
		}
	}
	if answer := r.login(somewhere, "viewer@shop", "/"); answer.Header().Get("Location") != "/services/shop" {
		t.Errorf("who is there for one service is led to %q", answer.Header().Get("Location"))
	}
}
