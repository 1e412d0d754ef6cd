package main

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
)

// TestASessionIsInNoSink logs in at a whole Parallax, and fails to, and looks for the token, the guess and the session wherever
// Parallax writes.
func TestASessionIsInNoSink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token, line := newToken(t, "--role", "reviewer", "--name", "ann")
	writeTokens(t, filepath.Join(dir, "tokens.yaml"), line)
	back := backend(t, "1.00")
	p := rig.StartIn(t, dir, strings.Replace(shopConfig(back, back, ""), `listen: "127.0.0.1:0" }`, `listen: "127.0.0.1:0", tokens: tokens.yaml }`, 1))
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	login := func(secret string, want int) []*http.Cookie {
		t.Helper()
		answer, err := browser.PostForm(p.Admin+"/login", url.Values{"token": {secret}, "next": {"/services/shop"}})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != want || strings.Contains(string(text), secret) {
			t.Fatalf("%s\n%s", answer.Status, text)
		}
		return answer.Cookies()
	}
	guess := "plx_guess-" + bird
	login(guess, http.StatusUnprocessableEntity)
	cookies := login(token, http.StatusSeeOther)
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", p.Admin+"/services/shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.AddCookie(cookies[0])
	answer, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the page with a session: %s\n%s", answer.Status, page)
	}
	p.Stop()
	if log := p.Log(); !strings.Contains(log, "somebody logged in") || !strings.Contains(log, "a login failed") {
		t.Errorf("the log tells of no login: %s", log)
	}
	audit, err := reports.ReadAccesses(t.Context(), reports.AccessPath(filepath.Join(dir, "parallax-state")), reports.AccessFilter{Deed: reports.LoggedIn})
	if err != nil || len(audit.Records) != 2 || audit.Records[0].Who != "ann" || audit.Records[1].Who != "" || audit.Records[1].From != "127.0.0.1" {
		t.Errorf("the audit has %+v, %v", audit, err)
	}
	for _, secret := range []string{token, guess, cookies[0].Value} {
		if strings.Contains(p.Log(), secret) || strings.Contains(string(page), secret) {
			t.Error("the log or the page shows a secret")
		}
		searchFiles(t, dir, secret)
	}
}
