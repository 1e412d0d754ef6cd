package ui

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/reports"
)

// loginPage is what the page shows.
type loginPage struct {
	Next   string
	Asks   bool   // a token is asked for
	Holder Holder // who is logged in; no name: nobody
	Fault  string
}

// pageLogin asks a person for a token.
func (s *Server) pageLogin(c echo.Context) error {
	return s.showLogin(c, http.StatusOK, returnPath(c.QueryParam("next")), "")
}

func (s *Server) showLogin(c echo.Context, status int, next, fault string) error {
	holder, _ := s.holder(c.Request())
	return s.render(c, status, "login", "Log in", "", nil, loginPage{Next: next, Asks: s.cfg.Door != nil, Holder: holder, Fault: fault})
}

// formLogin begins a session for whoever has a token.
func (s *Server) formLogin(c echo.Context) error {
	form, err := s.readForm(c, maxRequestBody)
	if err != nil {
		return err
	}
	next, token := returnPath(form.Get("next")), strings.TrimSpace(form.Get("token"))
	if s.cfg.Door == nil {
		return c.Redirect(http.StatusSeeOther, next)
	}
	if token == "" {
		return s.showLogin(c, http.StatusUnprocessableEntity, next, "Give a token.")
	}
	r := c.Request()
	from := addressOf(r.RemoteAddr)
	if wait := s.tries.begin(from, s.now()); wait > 0 {
		return s.tooManyLogins(c, next, wait)
	}
	holder, known := s.cfg.Door.Holder(token)
	if !known {
		s.log.Warn("a login failed", "from", from)
		s.noteStranger(c, http.StatusUnprocessableEntity)
		return s.showLogin(c, http.StatusUnprocessableEntity, next, "This token is not in force. It may have expired, or been taken out of the file of tokens.")
	}
	s.tries.succeeded(from)
	s.sessions.end(sessionID(r)) // no id of before goes on
	c.SetCookie(cookie(r, s.sessions.begin(token, holder.Name, s.now()), sessionTime))
	s.note(c, holder, reports.LoggedIn, http.StatusSeeOther)
	s.log.Info("somebody logged in", "who", holder.Name, "role", holder.Role, "from", from)
	if next == "/" && len(holder.Services) > 0 { // which is about all services
		next = servicePath(holder.Services[0])
	}
	return c.Redirect(http.StatusSeeOther, next)
}

func (s *Server) tooManyLogins(c echo.Context, next string, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	c.Response().Header().Set("Retry-After", fmt.Sprint(seconds))
	s.log.Warn("a login was not tried: too many failed", "from", addressOf(c.Request().RemoteAddr))
	return s.showLogin(c, http.StatusTooManyRequests, next, fmt.Sprintf("Too many logins failed. Try again in %s.", plural(seconds, "second", "seconds")))
}

// formLogout ends the session of a browser.
func (s *Server) formLogout(c echo.Context) error {
	r := c.Request()
	if holder, known := s.holder(r); known {
		s.note(c, holder, reports.LoggedOut, http.StatusSeeOther)
		s.log.Info("somebody logged out", "who", holder.Name, "from", addressOf(r.RemoteAddr))
	}
	s.sessions.end(sessionID(r))
	c.SetCookie(cookie(r, "", 0))
	return c.Redirect(http.StatusSeeOther, "/login")
}

// stranger answers somebody without a token that is in force: a person who opens a page is led to the login.
func (s *Server) stranger(c echo.Context) error {
	r := c.Request()
	if r.Header.Get("Authorization") != "" {
		if wait := s.bearers.failed.wait(addressOf(r.RemoteAddr), s.now()); wait > 0 {
			return tooManyTokens(wait)
		}
		s.noteStranger(c, http.StatusUnauthorized)
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && forPeople(r) && strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("Authorization") == "" {
		return c.Redirect(http.StatusSeeOther, "/login?"+url.Values{"next": {returnPath(r.URL.RequestURI())}}.Encode())
	}
	c.Response().Header().Set("WWW-Authenticate", `Bearer realm="Parallax"`)
	return newProblem(http.StatusUnauthorized, "no_token", "this takes a token that is in force: send Authorization: Bearer TOKEN, or log in at /login")
}

// tooManyTokens says that a token was not looked at, or was the last one that was.
func tooManyTokens(wait time.Duration) error {
	p := newProblem(http.StatusTooManyRequests, "too_many_tokens", "too many requests from this address had tokens that are not in force; one that was let in before still is")
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return p
}

// maxReturn is longer than any address of a page, in bytes.
const maxReturn = 4096

// returnPath is where a login leads: a page of this server, whatever the address asks for.
func returnPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || len(next) > maxReturn || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	if !strings.HasPrefix(u.Path, "/") || strings.TrimSuffix(u.Path, "/") != strings.TrimSuffix(path.Clean(u.Path), "/") || strings.ContainsFunc(u.Path, notInPath) {
		return "/"
	}
	if u.Path == "/login" || u.Path == "/logout" {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).RequestURI()
}

// notInPath reports what browsers read as something else, or not at all.
func notInPath(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }
