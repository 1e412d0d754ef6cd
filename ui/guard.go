package ui

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Bounds of the admin server. It shares a process with live traffic, so
// whatever it does is small and ends.
const (
	maxHeaderBytes = 16 << 10
	maxRequestBody = 16 << 10
	maxAtOnce      = 32  // requests that may ask the store at the same time
	maxWaiting     = 256 // long polls under way at the same time
	requestTime    = 20 * time.Second
	bodyTime       = 10 * time.Second
	maxWait        = 60 * time.Second // the longest long poll
)

// contentPolicy lets a page load its own style sheets, scripts and pictures, ask this server
// for its figures, and nothing else: nothing inline, no eval, no frame, no foreign origin.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure sets the headers that every answer carries.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send forms with Origin: null
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		return next(c)
	}
}

// knownHost refuses requests for a name this server does not go by, which is how
// a page of a foreign site reaches a loopback listener after its name was
// pointed at 127.0.0.1. An address in place of a name cannot be pointed
// elsewhere, so addresses pass.
func knownHost(names []string) echo.MiddlewareFunc {
	known := map[string]bool{"localhost": true}
	for _, name := range names {
		known[strings.ToLower(name)] = true
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if host := hostname(c.Request().Host); !known[host] && !strings.HasSuffix(host, ".localhost") && !isAddress(host) {
				return newProblem(http.StatusMisdirectedRequest, "unknown_host",
					fmt.Sprintf("this server does not go by the name %.100q; use its address, localhost, or a name of admin.listen", host))
			}
			return next(c)
		}
	}
}

// hostname returns the host of a Host header in lower case, without its port and
// brackets.
func hostname(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// sameOrigin refuses changes that a browser makes for another site.
func sameOrigin() echo.MiddlewareFunc {
	protection := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := protection.Check(c.Request()); err != nil {
				return newProblem(http.StatusForbidden, "cross_origin", "a page of another origin may not change anything here")
			}
			return next(c)
		}
	}
}

// slots bounds how many requests run at once: who finds no room is told so
// instead of being kept waiting.
func slots(n int) echo.MiddlewareFunc {
	free := make(chan struct{}, n)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			select {
			case free <- struct{}{}:
			default:
				p := newProblem(http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d requests of this kind are under way, which is as many as are answered at once", n))
				p.retryAfter = 1
				return p
			}
			defer func() { <-free }()
			return next(c)
		}
	}
}

// recovered turns a panic into an answer and one line in the log.
func (s *Server) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			err = s.defect(c.Path(), v)
		}()
		return next(c)
	}
}

// defect logs a panic and returns what is answered in its place.
func (s *Server) defect(where string, v any) error {
	s.log.Error("admin server: a handler panicked", "route", where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return newProblem(http.StatusInternalServerError, "defect", "Parallax has a defect here; its log says more")
}

// unbroken makes an error of a panic on a goroutine beside a handler's. Nothing else
// recovers it, and the process serves callers.
func (s *Server) unbroken(where string, f func() error) func() error {
	return func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = s.defect(where, v)
			}
		}()
		return f()
	}
}
