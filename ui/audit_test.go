package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/reports"
)

// fakeAudit remembers what it was told, and what it was asked for.
type fakeAudit struct {
	mu     sync.Mutex
	kept   []reports.Access
	filter reports.AccessFilter
}

func (f *fakeAudit) Note(a reports.Access) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, a)
}

func (f *fakeAudit) Accesses(_ context.Context, filter reports.AccessFilter) (reports.Accesses, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = filter
	out := reports.Accesses{Records: []reports.AccessRecord{}}
	for i, a := range f.kept {
		out.Records = append(out.Records, reports.AccessRecord{Seq: uint64(i + 1), At: now, Access: a})
	}
	return out, nil
}

// taken returns what was kept since it was last asked, a line each.
func (f *fakeAudit) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, a := range f.kept {
		out = append(out, fmt.Sprintf("%s %s/%s %s %s %s: %d", a.Deed, a.Who, a.Role, a.Route, a.Service, a.Object, a.Status))
	}
	f.kept = nil
	return out
}

func TestWhatPeopleDoIsNoted(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	f := func(token, method, target, body string, want ...string) {
		t.Helper()
		r.call(method, target, body, "Authorization", "Bearer "+token, "Accept", "text/html")
		if diff := cmp.Diff(want, r.audit.taken()); diff != "" {
			t.Errorf("%s %s (-want +got)\n%s", method, target, diff)
		}
	}
	const api, issue = "/api/v1/services/shop", "1-0123456789abcdef"
	f("reviewer", "GET", "/services/shop/exchanges/"+firstID, "", "view a reviewer/reviewer GET /services/:service/exchanges/:id shop "+firstID+": 200")
	f("reviewer", "GET", api+"/exchanges/"+firstID, "", "view a reviewer/reviewer GET /api/v1/services/:service/exchanges/:id shop "+firstID+": 200")
	f("reviewer", "HEAD", api+"/exchanges/"+firstID, "", "view a reviewer/reviewer HEAD /api/v1/services/:service/exchanges/:id shop "+firstID+": 200")
	f("reviewer", "GET", api+"/exchanges/none", "", "view a reviewer/reviewer GET /api/v1/services/:service/exchanges/:id shop none: 400")
	f("reviewer", "PATCH", api+"/issues/"+issue, `{"state":"accepted","note":"known","until":"2026-12-31"}`, "change a reviewer/reviewer PATCH /api/v1/services/:service/issues/:fingerprint shop "+issue+": 200")
	f("admin", "PUT", api+"/step", `{"step":500,"reason":"first users"}`, "change a admin/admin PUT /api/v1/services/:service/step shop : 200")
	f("admin", "POST", api+"/promotion:resume", `{"reason":"over"}`, "change a admin/admin POST /api/v1/services/:service/promotion:resume shop : 200")
	f("editor", "POST", api+"/rollback", `{}`, "change a editor/editor POST /api/v1/services/:service/rollback shop : 200")
	f("editor", "PUT", api+"/step", `{}`, "change a editor/editor PUT /api/v1/services/:service/step shop : 403")
	f("viewer", "GET", "/services/shop/exchanges/"+firstID, "", "view a viewer/viewer GET /services/:service/exchanges/:id shop "+firstID+": 403")
	f("admin", "POST", "/api/v1/reload", "", "change a admin/admin POST /api/v1/reload  : 200")
	f("admin", "GET", "/api/v1/audit", "", "view a admin/admin GET /api/v1/audit  : 200")
	f("guess", "GET", "/api/v1/services", "", "login / GET /api/v1/services  : 401")
	f("reviewer", "POST", api+"/rules:dry-run", `{"rules":[]}`, "view a reviewer/reviewer POST /api/v1/services/:service/rules:dry-run shop : 200")
	f("reviewer", "POST", "/services/shop/rules", "rules=[]", "view a reviewer/reviewer POST /services/:service/rules shop : 200")
	f("viewer", "GET", "/", "")
	f("viewer", "GET", api+"/step", "")
	f("ci", "GET", api+"/verdict", "")
	f("editor", "POST", "/api/v1/effects/shop/candidate", `[null]`) // a machine's, many a second
}

// TestEveryRouteThatMattersIsNoted: whatever takes the role of a reviewer or more is in the audit, but for change events,
// and nothing that takes less but the page of an endpoint, which has values for a reviewer and none for a viewer.
func TestEveryRouteThatMattersIsNoted(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	for name, least := range mayCall {
		method, path, _ := strings.Cut(name, " ")
		target := strings.NewReplacer(":service", "shop", ":leg", "candidate", ":fingerprint", "1-0123456789abcdef", ":id", firstID, ":version", "aaaa0000bbbb", `\:`, ":").Replace(path)
		r.call(method, target, "", "Authorization", "Bearer admin")
		noted := len(r.audit.taken())
		if want := (slices.Contains([]Role{Reviewer, Editor, Admin}, least) || path == endpointRoute) && path != "/api/v1/effects/:service/:leg"; want != (noted == 1) && path != "/logout" {
			t.Errorf("%s, for %q: noted %d times", name, least, noted)
		}
	}
	r.call("GET", "/services/shop/endpoint?endpoint=GET+%2Forders", "", "Authorization", "Bearer viewer")
	if noted := r.audit.taken(); len(noted) > 0 {
		t.Errorf("a viewer of figures is noted: %q", noted)
	}
}

func TestLoginsAreNoted(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	f := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, r.audit.taken()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	r.login(somewhere, "guess", "/")
	f("login / POST /login  : 422")
	in := r.login(somewhere, "reviewer", "/")
	f("login a reviewer/reviewer POST /login  : 303")
	session := in.Result().Cookies()[0]
	r.call("POST", "/logout", "", "Cookie", session.Name+"="+session.Value, "Origin", "http://127.0.0.1:7070")
	f("logout a reviewer/reviewer POST /logout  : 303")
	r.call("GET", "/services/shop/issues", "", "Accept", "text/html")
	f() // led to the login
}

// TestStrangersDoNotFillTheAudit: what people did is not pushed out of it by wrong tokens.
func TestStrangersDoNotFillTheAudit(t *testing.T) {
	t.Parallel()
	at := now
	r := newRig(t, func(c *Config) { c.Door, c.Now = doorOf{}, func() time.Time { return at } })
	for range 3 * strangersNoted {
		r.call("GET", "/services/shop/exchanges/secret-id", "", "Authorization", "Bearer guess")
	}
	if n := len(r.audit.taken()); n != strangersNoted {
		t.Errorf("%d are noted in an hour, want %d", n, strangersNoted)
	}
	at = at.Add(strangersTime)
	r.call("GET", "/services/shop/exchanges/secret-id", "", "Authorization", "Bearer guess")
	if got := r.audit.taken(); len(got) != 1 || strings.Contains(got[0], "secret") {
		t.Errorf("an hour later: %q", got)
	}
}

func TestAPanicIsNoted(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Door, c.Rehearsal = doorOf{}, (*fakeRehearsal)(nil) })
	r.call("POST", "/api/v1/services/shop/rules:blind-spots", "[]", "Authorization", "Bearer reviewer")
	if got := r.audit.taken(); len(got) != 1 || !strings.HasSuffix(got[0], ": 500") {
		t.Errorf("%q", got)
	}
}

func TestTheAuditIsAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(query string, status int) reports.Accesses {
		t.Helper()
		answer := r.call("GET", "/api/v1/audit"+query, "")
		var out reports.Accesses
		if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil || answer.Code != status {
			t.Fatalf("%s: %d %s", query, answer.Code, answer.Body)
		}
		return out
	}
	r.audit.Note(reports.Access{Deed: reports.Changed, Who: "ann", Route: "PUT /x", Status: 200})
	if out := f("?who=ann&service=shop&object=1&deed=change&from=2026-11-20T00:00:00Z&to=2026-11-22T00:00:00Z&limit=7", 200); len(out.Records) != 1 || out.Records[0].Who != "ann" {
		t.Errorf("%+v", out)
	}
	want := reports.AccessFilter{Who: "ann", Service: "shop", Object: "1", Deed: reports.Changed, From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Limit: 7}
	if diff := cmp.Diff(want, r.audit.filter); diff != "" {
		t.Errorf("asked for (-want +got)\n%s", diff)
	}
	if f("", 200); r.audit.filter.Limit != accessesShown {
		t.Errorf("limit %d", r.audit.filter.Limit)
	}
	f("?deed=stole", 400)
	f("?name=ann", 400)
	none := newRig(t, func(c *Config) { c.Audit = nil })
	if answer := none.call("GET", "/api/v1/audit", ""); answer.Code != http.StatusNotImplemented {
		t.Errorf("without one: %d", answer.Code)
	}
}

// TestWhereFromIsNoted: the address of the connection, whatever a header says.
func TestWhereFromIsNoted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	request := httptest.NewRequest("GET", "/services/shop/exchanges/"+firstID, nil)
	request.Host, request.RemoteAddr = "127.0.0.1:7070", "[2001:db8::7]:4000"
	request.Header.Set("X-Forwarded-For", "10.1.2.3")
	r.Handler().ServeHTTP(httptest.NewRecorder(), request)
	if len(r.audit.kept) != 1 || r.audit.kept[0].From != "2001:db8::7" || r.audit.kept[0].Who != "" {
		t.Errorf("%+v", r.audit.kept)
	}
}
