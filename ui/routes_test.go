package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"parallax/divergence"
	"parallax/reports"
)

// call sends a request to the server, as a program would.
func (r *rig) call(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.Host = "127.0.0.1:7070"
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(body, "rules=") {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	r.Handler().ServeHTTP(answer, request)
	return answer
}

// routeCases has a request for every route that it answers well; schema is what
// the OpenAPI document calls the answer.
var routeCases = map[string]struct {
	target, body, contentType, schema string
}{
	"GET /livez":                           {"/livez", "", "application/json", "Alive"},
	"GET /readyz":                          {"/readyz", "", "application/json", "Readiness"},
	"GET /metrics":                         {"/metrics", "", "text/plain", ""},
	"GET /openapi.json":                    {"/openapi.json", "", "application/json", ""},
	"GET /api/v1/services":                 {"/api/v1/services", "", "application/json", "Services"},
	"POST /api/v1/reload":                  {"/api/v1/reload", "", "application/json", "Reload"},
	"GET /api/v1/audit":                    {"/api/v1/audit?who=ann&deed=view&limit=5", "", "application/json", "Audit"},
	"GET /api/v1/services/:service/report": {"/api/v1/services/shop/report?from=2026-11-21T10:00:00Z&to=2026-11-21T12:00:00Z", "", "application/json", "Report"},
	"GET /api/v1/services/:service/issues": {"/api/v1/services/shop/issues?suppressed=true&limit=5&grouped=true&state=open", "", "application/json", "Issues"},
	"GET /api/v1/services/:service/issues/:fingerprint":   {"/api/v1/services/shop/issues/1-0123456789abcdef", "", "application/json", "Issue"},
	"PATCH /api/v1/services/:service/issues/:fingerprint": {"/api/v1/services/shop/issues/1-0123456789abcdef", `{"state":"accepted","note":"known","until":"2026-12-31","by":"ann"}`, "application/json", "Issue"},
	"GET /api/v1/services/:service/exchanges":             {"/api/v1/services/shop/exchanges?outcome=diverged&issue=1-0123456789abcdef", "", "application/json", "Exchanges"},
	"GET /api/v1/services/:service/effects":               {"/api/v1/services/shop/effects", "", "application/json", "SideEffects"},
	"GET /api/v1/services/:service/written":               {"/api/v1/services/shop/written?table=orders&limit=5", "", "application/json", "Written"},
	"GET /api/v1/services/:service/missing":               {"/api/v1/services/shop/missing?leg=primary&limit=5", "", "application/json", "Missing"},
	"GET /api/v1/services/:service/exchanges/:id":         {"/api/v1/services/shop/exchanges/" + firstID, "", "application/json", "Exchange"},
	"GET /api/v1/services/:service/verdict":               {"/api/v1/services/shop/verdict", "", "application/json", "Verdict"},
	"GET /api/v1/services/:service/step":                  {"/api/v1/services/shop/step", "", "application/json", "Step"},
	"PUT /api/v1/services/:service/step":                  {"/api/v1/services/shop/step", `{"step":500,"reason":"first users"}`, "application/json", "Step"},
	"GET /api/v1/services/:service/evidence":              {"/api/v1/services/shop/evidence", "", "application/x-ndjson", ""},
	`POST /api/v1/services/:service/evidence\:restart`:    {"/api/v1/services/shop/evidence:restart", `{"reason":"the network was broken"}`, "application/json", "Verdict"},
	"POST /api/v1/services/:service/signoffs":             {"/api/v1/services/shop/signoffs", `{"endpoint":"GET /health","reason":"twice a day","until":"2026-12-31","by":"ann"}`, "application/json", "SignOff"},
	"GET /api/v1/services/:service/mirroring":             {"/api/v1/services/shop/mirroring", "", "application/json", "Mirroring"},
	`POST /api/v1/services/:service/mirroring\:pause`:     {"/api/v1/services/shop/mirroring:pause", `{"reason":"it hurts"}`, "application/json", "Mirroring"},
	`POST /api/v1/services/:service/mirroring\:resume`:    {"/api/v1/services/shop/mirroring:resume", "", "application/json", "Mirroring"},
	`POST /api/v1/services/:service/promotion\:pause`:     {"/api/v1/services/shop/promotion:pause", `{"reason":"a sale"}`, "application/json", "Step"},
	`POST /api/v1/services/:service/promotion\:resume`:    {"/api/v1/services/shop/promotion:resume", `{"reason":"it is over"}`, "application/json", "Step"},
	"GET /api/v1/services/:service/copy":                  {"/api/v1/services/shop/copy", "", "application/json", "Copying"},
	`POST /api/v1/services/:service/copy\:begin`:          {"/api/v1/services/shop/copy:begin", `{"reason":"a new database"}`, "application/json", "Copying"},
	`POST /api/v1/services/:service/copy\:end`:            {"/api/v1/services/shop/copy:end", "", "application/json", "Copying"},
	`POST /api/v1/services/:service/copy\:cancel`:         {"/api/v1/services/shop/copy:cancel", "", "application/json", "Copying"},
	"POST /api/v1/services/:service/rollback":             {"/api/v1/services/shop/rollback", `{"reason":"errors"}`, "application/json", "Step"},
	"GET /api/v1/services/:service/rules":                 {"/api/v1/services/shop/rules?from=2026-11-20T00:00:00Z", "", "application/json", "Rules"},
	"GET /api/v1/services/:service/rules/:version":        {"/api/v1/services/shop/rules/aaaa0000bbbb", "", "application/json", "RuleSet"},
	`POST /api/v1/services/:service/rules\:dry-run`:       {"/api/v1/services/shop/rules:dry-run?limit=100", `{"rules":[{"path":"$.id","ignore":true}]}`, "application/json", "DryRun"},
	`GET /api/v1/services/:service/rules\:suggest`:        {"/api/v1/services/shop/rules:suggest?endpoint=GET+/orders/{id}", "", "application/json", "Suggestions"},
	`POST /api/v1/services/:service/rules\:rejudge`:       {"/api/v1/services/shop/rules:rejudge", "", "application/json", "Rejudged"},
	`POST /api/v1/services/:service/rules\:blind-spots`:   {"/api/v1/services/shop/rules:blind-spots", "[]", "application/json", "BlindSpots"},
	`GET /api/v1/services/:service/identifiers\:suggest`:  {"/api/v1/services/shop/identifiers:suggest?limit=100", "", "application/json", "SuggestedIdentifiers"},
	"POST /api/v1/effects/:service/:leg":                  {"/api/v1/effects/shop/candidate", `[null,null]`, "application/json", "TakenEvents"},
	"POST /api/v1/github/deployments":                     {"/api/v1/github/deployments", `{"action":"requested"}`, "application/json", "Delivered"},
	"PUT /api/v1/services/:service/rules":                 {"/api/v1/services/shop/rules", fmt.Sprintf(`{"version":%q,"text":"- {path: $.id, ignore: true}","reason":"meant"}`, divergence.NewSavedRules("").Version), "application/json", "Rules"},
	"GET /services/:service/rules":                        {"/services/shop/rules", "", "text/html; charset=UTF-8", ""},
	"POST /services/:service/rules":                       {"/services/shop/rules", "rules=" + url.QueryEscape("- {path: $.id, ignore: true}"), "text/html; charset=UTF-8", ""},
	"GET /services/:service/rules/:version":               {"/services/shop/rules/aaaa0000bbbb", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/written":                      {"/services/shop/written", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/blind-spots":                  {"/services/shop/blind-spots", "", "text/html; charset=UTF-8", ""},
	"GET /":                                               {"/", "", "text/html; charset=UTF-8", ""},
	"GET /health":                                         {"/health", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service":                              {"/services/shop?window=6h", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/endpoint":                     {"/services/shop/endpoint?endpoint=GET+%2Forders%2F%7Bid%7D", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/promotion":                    {"/services/shop/promotion", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/issues":                       {"/services/shop/issues", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/issues/:fingerprint":          {"/services/shop/issues/1-0123456789abcdef", "", "text/html; charset=UTF-8", ""},
	"GET /services/:service/exchanges/:id":                {"/services/shop/exchanges/" + firstID, "", "text/html; charset=UTF-8", ""},
	"GET /login":                                          {"/login?next=/services/shop", "", "text/html; charset=UTF-8", ""},
	"GET /static/style.css":                               {"/static/style.css", "", "text/css; charset=utf-8", ""},
	"GET /static/htmx.js":                                 {"/static/htmx.js", "", "text/javascript; charset=utf-8", ""},
	"GET /static/live.js":                                 {"/static/live.js", "", "text/javascript; charset=utf-8", ""},
	"GET /static/charts.js":                               {"/static/charts.js", "", "text/javascript; charset=utf-8", ""},
	"GET /static/uplot.js":                                {"/static/uplot.js", "", "text/javascript; charset=utf-8", ""},
	"GET /static/uplot.css":                               {"/static/uplot.css", "", "text/css; charset=utf-8", ""},
	"GET /static/mark.svg":                                {"/static/mark.svg", "", "image/svg+xml", ""},
}

// TestEveryRouteAnswers fails for a route that nobody listed above, and for one
// whose answer is not what the OpenAPI document says.
func TestEveryRouteAnswers(t *testing.T) {
	t.Parallel()
	schemas := loadSchemas(t)
	seen := map[string]bool{}
	for _, registered := range newRig(t).echo.Routes() {
		if registered.Method == http.MethodHead || registered.Method == "echo_route_not_found" ||
			registered.Path == "/services/:service/issues/:fingerprint" && registered.Method == http.MethodPost || // TestDecideOnThePage
			registered.Path == "/login" && registered.Method == http.MethodPost || registered.Path == "/logout" || // TestABrowserLogsIn
			registered.Path == "/services/:service/endpoint" && registered.Method == http.MethodPost || // TestSignOffOnThePage
			registered.Path == "/services/:service/issues" && registered.Method == http.MethodPost || // TestDecideOnSeveral
			registered.Path == "/services/:service/rules/save" || // TestRulesAreTriedAndSavedOnThePage
			strings.HasPrefix(registered.Path, "/services/:service/promotion/") || // TestPromotionPage
			strings.HasPrefix(registered.Path, "/api/v1/flagger/") { // TestFlagger
			continue
		}
		name := registered.Method + " " + registered.Path
		seen[name] = true
		want, ok := routeCases[name]
		if !ok {
			t.Errorf("nobody tests %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := newRig(t).call(registered.Method, want.target, want.body)
			if answer.Code != http.StatusOK && answer.Code != http.StatusAccepted || !strings.HasPrefix(answer.Header().Get("Content-Type"), want.contentType) {
				t.Fatalf("%d %s\n%s", answer.Code, answer.Header().Get("Content-Type"), answer.Body)
			}
			if want.schema != "" {
				schemas.check(t, want.schema, answer.Body.Bytes())
			}
		})
	}
	for name := range routeCases {
		if !seen[name] {
			t.Errorf("%s is tested and not there", name)
		}
	}
}

func TestHeadIsAnsweredWhereGetIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range routeCases {
		if method, _, _ := strings.Cut(name, " "); method != http.MethodGet {
			continue
		}
		if answer := r.call(http.MethodHead, c.target, ""); answer.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", c.target, answer.Code)
		}
	}
}

// document is the part of openapi.json that tests look at.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct{ Name, In, Description string }
		Responses   map[string]any
	}
	Components struct{ Schemas map[string]any }
}

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := files.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAPIDescribesTheRoutes compares the document with the route table, both
// ways: every call of the API is described, and nothing else.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	var described, routed []string
	ids := map[string]bool{}
	parameter := regexp.MustCompile(`\{(\w+)\}`)
	for path, operations := range d.Paths {
		for method, o := range operations {
			described = append(described, strings.ToUpper(method)+" "+parameter.ReplaceAllString(path, ":$1"))
			if o.OperationID == "" || ids[o.OperationID] || o.Summary == "" || o.Responses["200"] == nil && o.Responses["202"] == nil || o.Responses["default"] == nil {
				t.Errorf("%s %s lacks an id of its own, a summary, or an answer for 200 or 202 or for errors", method, path)
			}
			ids[o.OperationID] = true
			var inPath []string
			for _, p := range o.Parameters {
				if p.Description == "" {
					t.Errorf("%s %s: the parameter %s is not described", method, path, p.Name)
				}
				if p.In == "path" {
					inPath = append(inPath, "{"+p.Name+"}")
				}
			}
			if diff := cmp.Diff(parameter.FindAllString(path, -1), inPath); diff != "" {
				t.Errorf("%s %s: parameters (-path +described)\n%s", method, path, diff)
			}
		}
	}
	for _, r := range newRig(t).routes() {
		if r.kind != page && !strings.HasPrefix(r.path, "/static/") {
			routed = append(routed, r.method+" "+strings.ReplaceAll(r.path, `\:`, ":"))
		}
	}
	slices.Sort(described)
	slices.Sort(routed)
	if diff := cmp.Diff(routed, described); diff != "" {
		t.Errorf("(-routed +described)\n%s", diff)
	}
}

// TestOpenAPIListsEveryReason keeps the codes of reasons one closed list.
func TestOpenAPIListsEveryReason(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	listed := d.Components.Schemas["Reason"].(map[string]any)["properties"].(map[string]any)["code"].(map[string]any)["enum"]
	var codes []any
	for _, c := range reports.Codes {
		codes = append(codes, string(c))
	}
	if diff := cmp.Diff(codes, listed); diff != "" {
		t.Errorf("(-reports +openapi.json)\n%s", diff)
	}
}

// schemas checks answers against the document. Published schemas allow fields
// that are not described, so that some can be added; here none may be.
type schemas struct{ compiled map[string]*jsonschema.Schema }

func loadSchemas(t *testing.T) schemas {
	t.Helper()
	s, err := compiledSchemas()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var compiledSchemas = sync.OnceValues(compileSchemas)

func compileSchemas() (schemas, error) {
	s := schemas{map[string]*jsonschema.Schema{}}
	text, err := files.ReadFile("openapi.json")
	if err != nil {
		return s, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return s, err
	}
	components := parsed.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	closeObjects(components)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", parsed); err != nil {
		return s, err
	}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		if s.compiled[name], err = compiler.Compile("openapi.json#/components/schemas/" + name); err != nil {
			return s, fmt.Errorf("schema %s: %w", name, err)
		}
	}
	return s, nil
}

func closeObjects(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

func (s schemas) check(t *testing.T, name string, body []byte) {
	t.Helper()
	if s.compiled[name] == nil {
		t.Fatalf("there is no schema %s", name)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	if err := s.compiled[name].Validate(value); err != nil {
		t.Errorf("not a %s: %v\n%s", name, err, body)
	}
}

// TestTheDocumentNamesNothingTwice: of two things with one name a reader sees one.
func TestTheDocumentNamesNothingTwice(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var walk func(path string)
	walk = func(path string) {
		token, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		open, _ := token.(json.Delim)
		seen := map[string]bool{}
		for open != 0 && dec.More() {
			at := path
			if open == '{' {
				key, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				if at = path + "/" + key.(string); seen[at] {
					t.Errorf("%s stands there twice", at)
				}
				seen[at] = true
			}
			walk(at)
		}
		if open != 0 {
			_, _ = dec.Token() // its end
		}
	}
	walk("")
}
