package ui

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Door tells who holds a token. It must not block.
type Door interface {
	Holder(token string) (Holder, bool)
}

// Holder is who holds a token.
type Holder struct {
	Name     string // as changes are signed by it
	Role     Role
	Services []string // none: all
}

// Role is what the holder of a token may do.
type Role string

// The roles. But for the first, each may do what the one before it may.
const (
	CI       Role = "ci"       // read a verdict with its report, and nothing else
	Viewer   Role = "viewer"   // read all that holds no values of callers
	Reviewer Role = "reviewer" // read what callers and databases had, and decide on issues
	Editor   Role = "editor"   // change what is compared and how it counts, and take the candidate back
	Admin    Role = "admin"    // move users to the candidate
)

// Roles are all there are.
var Roles = []Role{CI, Viewer, Reviewer, Editor, Admin}

// access is what a route asks of whoever calls it.
type access int

const (
	open       access = iota // nothing: it tells nothing about a service
	verdicts                 // a verdict, and the figures it is printed with
	figures                  // names, counts and times
	values                   // what callers and databases had
	evidence                 // what is compared, how it counts, and the way back
	production               // what callers get
)

var reach = map[Role]access{CI: verdicts, Viewer: figures, Reviewer: values, Editor: evidence, Admin: production}

// admit lets those in who may.
func (s *Server) admit(needs access) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if s.cfg.Door == nil || needs == open {
				return next(c)
			}
			holder, known := s.holder(c.Request())
			if !known {
				return s.stranger(c)
			}
			c.Set(holderKey, holder)
			if unsure(c.Request()) {
				return newProblem(http.StatusForbidden, "cross_origin", "a browser that is logged in says where a change comes from, by Origin or Sec-Fetch-Site; this one does not")
			}
			if err := holder.may(needs, c.Param("service")); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// mayLook reports whether somebody at an open route may see figures of all services.
func (s *Server) mayLook(c echo.Context) bool {
	return s.maySee(c, "")
}

// maySee reports whether somebody may see figures of a service, or of all of them where it names none.
func (s *Server) maySee(c echo.Context, service string) bool {
	if s.cfg.Door == nil {
		return true
	}
	holder, known := s.holder(c.Request())
	return known && holder.may(figures, service) == nil
}

// mayRead reports whether who was let in may see what callers and databases had.
func (s *Server) mayRead(c echo.Context) bool {
	h, _ := c.Get(holderKey).(Holder)
	return s.cfg.Door == nil || reach[h.Role] >= values
}

// may returns a problem if a holder may not do what needs so much, to a service, or to all of them where it names none.
func (h Holder) may(needs access, service string) error {
	if reach[h.Role] < needs {
		return newProblem(http.StatusForbidden, "role", fmt.Sprintf("the token is of role %s, and this takes role %s", h.Role, least(needs)))
	}
	if len(h.Services) > 0 && !slices.Contains(h.Services, service) {
		return newProblem(http.StatusForbidden, "service", "the token is for "+strings.Join(h.Services, ", ")+" alone")
	}
	return nil
}

// least is the first role that may do what needs so much.
func least(needs access) Role {
	i := slices.IndexFunc(Roles, func(r Role) bool { return reach[r] >= needs })
	return Roles[i]
}

// holder is who sends a request: by the token that a program sends with it, or by the session of a browser. A session
// says nothing beside a token.
func (s *Server) holder(r *http.Request) (Holder, bool) {
	if s.cfg.Door == nil {
		return Holder{}, false
	}
	if said := r.Header.Get("Authorization"); said != "" {
		h, known, _ := s.bearers.holder(s.cfg.Door, bearer(said), addressOf(r.RemoteAddr), s.now())
		return h, known
	}
	token, there := s.sessions.token(sessionID(r), s.now())
	if !there {
		return Holder{}, false
	}
	return s.cfg.Door.Holder(token)
}

// bearer returns the token of an Authorization header, empty for none.
func bearer(said string) string {
	scheme, token, _ := strings.Cut(said, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// unsure reports a change by a session of which nothing says what page it comes from: sameOrigin lets those pass, since
// programs say nothing, and programs have no session.
func unsure(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	h := r.Header
	return h.Get("Authorization") == "" && h.Get("Sec-Fetch-Site") == "" && h.Get("Origin") == ""
}

const holderKey = "holder"

// caller is who makes a change, as far as the server knows.
func caller(c echo.Context) string {
	if h, ok := c.Get(holderKey).(Holder); ok {
		return h.Name
	}
	return "admin API"
}

// signer is who makes a change and says who it is: a token's holder is not free to be somebody else.
func signer(c echo.Context, says string) string {
	switch h, ok := c.Get(holderKey).(Holder); {
	case !ok && says == "":
		return caller(c)
	case !ok:
		return says
	case says == "" || says == h.Name:
		return h.Name
	default:
		return says + " (" + h.Name + ")"
	}
}
