package ids

import (
	"strings"

	"parallax"
	"parallax/internal/body"
)

// NamesAt returns the first declared identifier of which the primary's answers may have
// values where a path leads; "" if there is none. path is that of a request or a
// template of it; where it is empty, all requests are meant.
func (s *Set) NamesAt(method, path string, at *body.Path) string {
	return s.placed(method, path, func(p *place) bool { return p.kind == inBody && p.path.Meets(at) })
}

// NamesIn is NamesAt for a header, or a cookie, of a name; of any where that is empty.
func (s *Set) NamesIn(method, path string, cookie bool, name string) string {
	return s.placed(method, path, func(p *place) bool {
		switch {
		case cookie:
			return p.kind == inCookie && (name == "" || p.name == name)
		case p.kind == inLocation:
			return name == "" || strings.EqualFold(name, "Location")
		}
		return p.kind == inHeader && (name == "" || strings.EqualFold(p.name, name))
	})
}

func (s *Set) placed(method, path string, is func(*place) bool) string {
	for _, id := range s.All() {
		for _, list := range [][]place{id.from[parallax.Primary], id.in[parallax.Primary]} {
			for i := range list {
				if p := &list[i]; !id.Own && (path == "" || p.applies(method, path)) && is(p) {
					return id.Name
				}
			}
		}
	}
	return ""
}
