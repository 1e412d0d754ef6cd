package ui

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// login sends the form of the login from an address.
func (r *rig) login(from, token, next string, headers ...string) *httptest.ResponseRecorder {
	form := url.Values{"token": {token}, "next": {next}}.Encode()
	request := httptest.NewRequest("POST", "/login", strings.NewReader(form))
	request.Host, request.RemoteAddr = "127.0.0.1:7070", from
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	r.Handler().ServeHTTP(answer, request)
	return answer
}

const somewhere = "192.0.2.1:4000"

// session logs in and returns what a browser sends from then on.
func (r *rig) session(t *testing.T, token string) string {
	t.Helper()
	answer := r.login(somewhere, token, "/")
	cookies := answer.Result().Cookies()
	if answer.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("%d with %d cookies\n%s", answer.Code, len(cookies), answer.Body)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// TestABrowserLogsIn from the page it wanted, does what its role may, and is a stranger again after it logged out.
func TestABrowserLogsIn(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	const wanted = "/services/shop?window=all"
	led := r.call("GET", wanted, "", "Accept", "text/html,*/*;q=0.8")
	page := led.Header().Get("Location")
	if led.Code != http.StatusSeeOther || page != "/login?next="+url.QueryEscape(wanted) {
		t.Fatalf("%d to %q", led.Code, page)
	}
	form := r.call("GET", page, "", "Accept", "text/html")
	if text := form.Body.String(); form.Code != 200 || !strings.Contains(text, `name="next" value="`+wanted+`"`) || strings.Contains(text, ">shop<") || strings.Contains(text, "1.0.0") {
		t.Fatalf("a stranger should see the form and nothing of the server: %d\n%s", form.Code, text)
	}
	in := r.login(somewhere, " reviewer\n", wanted)
	if to := in.Header().Get("Location"); in.Code != http.StatusSeeOther || to != wanted {
		t.Errorf("%d to %q", in.Code, to)
	}
	c := in.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure || c.MaxAge != int(sessionTime.Seconds()) || strings.Contains(c.Value, "reviewer") || len(c.Value) < 26 {
		t.Errorf("%+v", c)
	}
	as := c.Name + "=" + c.Value
	if answer := r.call("GET", wanted, "", "Cookie", as); answer.Code != 200 || !strings.Contains(answer.Body.String(), "a reviewer") {
		t.Errorf("its page: %d", answer.Code)
	}
	if answer := r.call("POST", "/api/v1/services/shop/rollback", `{"reason":"x"}`, "Cookie", as, "Origin", "http://127.0.0.1:7070"); answer.Code != 403 || !strings.Contains(answer.Body.String(), "of role reviewer") {
		t.Errorf("what its role may not: %d %s", answer.Code, answer.Body)
	}
	out := r.call("POST", "/logout", "", "Cookie", as)
	if gone := out.Result().Cookies(); out.Code != http.StatusSeeOther || len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("%d %v", out.Code, gone)
	}
	if answer := r.call("GET", wanted, "", "Cookie", as); answer.Code != http.StatusUnauthorized {
		t.Errorf("after it logged out: %d", answer.Code)
	}
	if log := r.log.String(); !strings.Contains(log, "somebody logged in") || !strings.Contains(log, "somebody logged out") || strings.Contains(log, c.Value) {
		t.Errorf("the log: %s", log)
	}
}

// TestOverTLSTheCookieIsSafe: it goes over TLS alone, and no other host can have set it.
func TestOverTLSTheCookieIsSafe(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	server := httptest.NewTLSServer(r.Handler())
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.PostForm(server.URL+"/login", url.Values{"token": {"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	c := answer.Cookies()
	if len(c) != 1 || c[0].Name != safeCookie || !c[0].Secure || c[0].Domain != "" || c[0].Path != "/" {
		t.Fatalf("%v", c)
	}
	request, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/", nil)
	request.AddCookie(&http.Cookie{Name: plainCookie, Value: c[0].Value})
	if answer, err = client.Do(request); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the name that anybody can set: %d", answer.StatusCode)
	}
}

// TestASessionCannotBeUsedFromAnotherSite, nor where nothing says which page sends a change.
func TestASessionCannotBeUsedFromAnotherSite(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	as := r.session(t, "admin")
	f := func(want int, headers ...string) {
		t.Helper()
		before := r.stepper.State().Step
		answer := r.call("PUT", "/api/v1/services/shop/step", fmt.Sprintf(`{"step":%d,"reason":"x"}`, before+100), append(headers, "Cookie", as)...)
		if moved := r.stepper.State().Step != before; answer.Code != want || moved != (want == 200) {
			t.Errorf("%v: %d, moved %t; want %d\n%s", headers, answer.Code, moved, want, answer.Body)
		}
	}
	f(403)
	f(200, "Sec-Fetch-Site", "same-origin")
	f(200, "Origin", "http://127.0.0.1:7070")
	f(403, "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "same-site")
	f(403, "Origin", "null")
	f(403, "Origin", "https://evil.example")
	f(401, "Authorization", "Bearer nonsense")
	f(401, "Authorization", "Basic YW5uOmFkbWlu")
}

// TestASessionEnds with its time, and with its token.
func TestASessionEnds(t *testing.T) {
	t.Parallel()
	at, inForce := now, true
	r := newRig(t, func(c *Config) {
		c.Now = func() time.Time { return at }
		c.Door = doorFunc(func(token string) (Holder, bool) { return Holder{Name: token, Role: Admin}, inForce })
	})
	as := r.session(t, "ann")
	f := func(want int) {
		t.Helper()
		if answer := r.call("GET", "/services/shop", "", "Cookie", as); answer.Code != want {
			t.Errorf("%d, want %d", answer.Code, want)
		}
	}
	f(200)
	inForce = false
	f(401)
	inForce = true
	at = now.Add(sessionTime - time.Second)
	f(200)
	at = now.Add(sessionTime)
	f(401)
}

type doorFunc func(string) (Holder, bool)

func (f doorFunc) Holder(token string) (Holder, bool) { return f(token) }

// TestSessionsAreBounded: who begins many ends those of nobody else before there are too many of all.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	var s sessions
	ann := s.begin("a", "ann", now)
	for i := range 3 * sessionsOfHolder {
		s.begin("b", "bob", now.Add(time.Duration(i+1)*time.Second))
	}
	if _, there := s.token(ann, now); !there || len(s.of) != 1+sessionsOfHolder {
		t.Errorf("ann's is there: %t, of %d", there, len(s.of))
	}
	for i := range 2 * maxSessions {
		s.begin("x", fmt.Sprint(i), now.Add(time.Minute))
	}
	if len(s.of) != maxSessions {
		t.Errorf("%d sessions", len(s.of))
	}
	if s.begin("a", "ann", now.Add(2*sessionTime)); len(s.of) != 1 {
		t.Errorf("%d after all ended", len(s.of))
	}
}

// TestFailedLoginsAreLimited by address; another address may still log in, and who is in is not asked.
func TestFailedLoginsAreLimited(t *testing.T) {
	t.Parallel()
	at := now
	r := newRig(t, func(c *Config) { c.Door, c.Now = doorOf{}, func() time.Time { return at } })
	as := r.session(t, "admin")
	for i := range triesOfAddress {
		if answer := r.login("[2001:db8::1]:99", "guess", "/"); answer.Code != 422 || len(answer.Result().Cookies()) > 0 || !strings.Contains(answer.Body.String(), `role="alert"`) {
			t.Fatalf("guess %d: %d", i, answer.Code)
		}
	}
	refused := r.login("[2001:db8::ffff]:99", "admin", "/") // the same caller's
	if refused.Code != http.StatusTooManyRequests || refused.Header().Get("Retry-After") != "600" || len(refused.Result().Cookies()) > 0 {
		t.Errorf("%d, Retry-After %q", refused.Code, refused.Header().Get("Retry-After"))
	}
	if answer := r.login("[2001:db8:0:1::1]:99", "admin", "/"); answer.Code != http.StatusSeeOther {
		t.Errorf("another address: %d", answer.Code)
	}
	if answer := r.call("GET", "/services/shop", "", "Cookie", as); answer.Code != 200 {
		t.Errorf("who is in: %d", answer.Code)
	}
	if log := r.log.String(); strings.Contains(log, "guess") || strings.Count(log, "a login failed") != triesOfAddress {
		t.Errorf("the log: %s", log)
	}
	at = at.Add(triesTime)
	if answer := r.login("[2001:db8::1]:99", "admin", "/"); answer.Code != http.StatusSeeOther {
		t.Errorf("after the time: %d", answer.Code)
	}
}

// TestFailedLoginsAreLimitedOfAll, whatever addresses they come from; what is remembered is bounded by that.
func TestFailedLoginsAreLimitedOfAll(t *testing.T) {
	t.Parallel()
	all := tries{ofAddress: triesOfAddress, ofAll: triesOfAll}
	at, refused, most := now, 0, 0
	for i := range 50 * triesOfAll {
		if all.begin(addressOf(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)), at) > 0 {
			refused++
		}
		at = at.Add(100 * time.Millisecond)
		most = max(most, len(all.of))
	}
	if bound := 2 * triesOfAll * int(triesTime/triesOfAllTime); refused < 40*triesOfAll || most > bound || most == 0 {
		t.Errorf("%d refused, %d addresses remembered, want up to %d", refused, most, bound)
	}
	one := addressOf(somewhere)
	for range 10 * triesOfAll {
		if wait := all.begin(one, at.Add(time.Hour)); wait > 0 {
			t.Fatalf("logins that succeed count: %v", wait)
		}
		all.succeeded(one)
	}
}

// TestFailedTokensAreLimited: an address with too many tokens that nobody holds has no more of them looked at for a while,
// not even a good one; a program that was let in before goes on, and other addresses do.
func TestFailedTokensAreLimited(t *testing.T) {
	t.Parallel()
	at := now
	r := newRig(t, func(c *Config) { c.Door, c.Now = doorOf{}, func() time.Time { return at } })
	ask := func(from, token string) *httptest.ResponseRecorder {
		request := httptest.NewRequest("GET", "http://127.0.0.1/api/v1/services/shop/verdict", nil)
		request.RemoteAddr = from
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		r.Handler().ServeHTTP(answer, request)
		return answer
	}
	const here, there = "192.0.2.1:99", "192.0.2.2:99"
	f := func(from, token string, want int) {
		t.Helper()
		if answer := ask(from, token); answer.Code != want {
			t.Errorf("%s from %s: %d %s, want %d", token, from, answer.Code, answer.Body, want)
		}
	}
	f(here, "ci", 200)
	for i := range bearersOfAddress - 1 {
		if answer := ask(here, fmt.Sprint("guess ", i)); answer.Code != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, answer.Code)
		}
	}
	if answer := ask(here, "guess"); answer.Code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") != "600" || !strings.Contains(answer.Body.String(), "too_many_tokens") {
		t.Errorf("one too many: %d, Retry-After %q, %s", answer.Code, answer.Header().Get("Retry-After"), answer.Body)
	}
	f(here, "admin", http.StatusTooManyRequests) // nobody looked
	f(here, "ci", 200)
	f(there, "admin", 200)
	f(here, "admin", 200) // it is known by now
	at = at.Add(triesTime)
	f(here, "viewer", 200)
}

// TestBearersAreBounded, however many good tokens there were.
func TestBearersAreBounded(t *testing.T) {
	t.Parallel()
	var b bearers
	for i := range 3 * maxBearers {
		b.remember(sha256.Sum256([]byte(fmt.Sprint(i))))
		if len(b.before) > maxBearers {
			t.Fatalf("%d are remembered", len(b.before))
		}
	}
}

// TestALoginLeadsNowhereElse, whatever address it is asked to lead to.
func TestALoginLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"/", "/services/shop", "/services/shop/endpoint?endpoint=GET+%2Forders%2F%7Bid%7D&window=all", "/services/a%20b/issues/"} {
		if got := returnPath(good); got != good {
			t.Errorf("%q leads to %q", good, got)
		}
	}
	for _, bad := range []string{
		"", "services", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/%5cevil.example", "https://evil.example/", "https:evil.example", "javascript:alert(1)",
		"//u@evil.example/", "/a/../..//evil.example", "/.//evil.example", "/%2fevil.example", "/%2e%2e//evil", "/\t/evil.example", "/%09/evil.example", "/%0d%0aSet-Cookie:x", " //evil.example", "/login", "/login?next=/", "/logout", "/" + strings.Repeat("x", maxReturn),
	} {
		if got := returnPath(bad); got != "/" {
			t.Errorf("%q leads to %q", bad, got)
		}
	}
	r := guarded(t)
	if answer := r.login(somewhere, "admin", "//evil.example/"); answer.Header().Get("Location") != "/" {
		t.Errorf("it leads to %q", answer.Header().Get("Location"))
	}
}

// TestProgramsAreNotLedToTheLogin: they get a problem that says what to send.
func TestProgramsAreNotLedToTheLogin(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	f := func(method, target string, headers ...string) {
		t.Helper()
		if answer := r.call(method, target, "", headers...); answer.Code != 401 || answer.Header().Get("WWW-Authenticate") != `Bearer realm="Parallax"` {
			t.Errorf("%s %s %v: %d %v", method, target, headers, answer.Code, answer.Header())
		}
	}
	f("GET", "/api/v1/services", "Accept", "text/html")
	f("GET", "/metrics", "Accept", "text/html")
	f("GET", "/services/shop")
	f("GET", "/services/shop", "Accept", "text/html", "Authorization", "Bearer old")
	f("POST", "/services/shop/rules", "Accept", "text/html")
}

// TestPagesHaveNothingInline: every page that is routed keeps to the content security policy, the login for strangers, holders and
// those who need none too.
func TestPagesHaveNothingInline(t *testing.T) {
	t.Parallel()
	r, n := newRig(t), 0
	for _, route := range r.routes() {
		if c, listed := routeCases[route.method+" "+route.path]; listed && route.kind == page && route.method == http.MethodGet {
			parsePage(t, r, c.target, 200)
			n++
		}
	}
	if n < 10 {
		t.Errorf("%d pages", n)
	}
	r = guarded(t)
	parsePage(t, r, "/login?next=/services/shop", 200)
	for answer, status := range map[*httptest.ResponseRecorder]int{
		r.login(somewhere, "guess", "/"):                              422,
		r.login(somewhere, "", "/"):                                   422,
		r.call("GET", "/login", "", "Cookie", r.session(t, "viewer")): 200,
	} {
		doc, err := html.Parse(answer.Body)
		if err != nil || answer.Code != status {
			t.Fatalf("%d, want %d: %v", answer.Code, status, err)
		}
		checkPage(t, "/login", doc)
	}
}
