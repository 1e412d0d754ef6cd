package ui

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
)

// pages holds a parsed template for each page.
type pages map[string]*template.Template

var pageNames = []string{"overview", "service", "endpoint", "issues", "issue", "exchange", "rules", "ruleset", "blindspots", "written", "login", "promotion", "health", "error"}

func parsePages() (pages, error) {
	functions := template.FuncMap{
		"tryURL": tryURL, "takenAway": takenAway, "takenBy": takenBy, "count": count, "percent": percent, "seconds": seconds, "size": size, "utc": utc, "words": words, "gap": gapText,
		"plural": plural[int], "plural64": plural[int64], "stepShare": stepShare, "cut": cut,
		"effectCell": func(row *effectRow, leg string) effectCell { return effectCell{row, leg} },
		"inc":        func(i int) int { return i + 1 },
		"issueTable": func(caption string, withEndpoint bool, rows []issueRow) issueTable {
			return issueTable{caption, withEndpoint, rows, nil}
		},
		"issueChoice": func(caption string, rows []issueRow, form bulkForm) issueTable {
			return issueTable{caption, true, rows, &form}
		},
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}
	base, err := template.New("").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	all := pages{}
	for _, name := range pageNames {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if all[name], err = t.ParseFS(files, "templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// issueTable is what the template of that name shows.
type issueTable struct {
	Caption      string
	WithEndpoint bool
	Rows         []issueRow
	Bulk         *bulkForm // to choose rows for; nil: none can be
}

// frame is what every page has around its own content.
type frame struct {
	Title   string
	Crumbs  []link
	Nav     []link
	Now     time.Time
	Version string
	Notice  string // what everybody who looks at a page should know; empty for nothing
	Who     string // is logged in; empty: nobody
	Page    any
}

// link is a place to go to; Current marks where the reader is.
type link struct {
	Text, URL string
	Current   bool
}

// render answers with a page. It is made whole before anything is sent, so that
// a failure half-way becomes an error page and not half a page.
func (s *Server) render(c echo.Context, status int, name, title, service string, crumbs []link, content any) error {
	f := frame{Title: title, Crumbs: crumbs, Now: s.now(), Page: content}
	for _, n := range s.current.Load().names {
		if s.maySee(c, n) {
			f.Nav = append(f.Nav, link{Text: n, URL: servicePath(n), Current: n == service})
		}
	}
	holder, known := s.holder(c.Request())
	f.Who = holder.Name
	if known || s.cfg.Door == nil { // a stranger learns nothing of this server
		f.Version, f.Notice = s.cfg.Version, s.lastReload().notice()
	}
	var page bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&page, "layout", f); err != nil {
		return fmt.Errorf("cannot make the page %s: %w", name, err)
	}
	return c.HTMLBlob(status, page.Bytes())
}

// errorPage shows a problem to a person.
func (s *Server) errorPage(c echo.Context, p *problem) {
	if p.retryAfter > 0 {
		c.Response().Header().Set("Retry-After", fmt.Sprint(p.retryAfter))
	}
	known := make([]link, 0, len(p.Known))
	for _, name := range p.Known {
		known = append(known, link{Text: name, URL: servicePath(name)})
	}
	err := s.render(c, p.Status, "error", p.Title, "", nil, struct {
		*problem
		Known []link
	}{p, known})
	if err != nil {
		s.log.Error("admin server: cannot make an error page", "error", err)
		writeProblem(c.Response(), newProblem(http.StatusInternalServerError, "defect", "Parallax could not make this page; its log says more"))
	}
}

func servicePath(name string) string { return "/services/" + url.PathEscape(name) }

func endpointPath(service, endpoint string) string {
	return servicePath(service) + "/endpoint?" + url.Values{"endpoint": {endpoint}}.Encode()
}

func issuePath(service, fingerprint string) string {
	return servicePath(service) + "/issues/" + url.PathEscape(fingerprint)
}

func exchangePath(service, id string) string {
	return servicePath(service) + "/exchanges/" + url.PathEscape(id)
}

// with returns a URL whose query has one more parameter, or another value of it;
// an empty value takes it away.
func with(address, name, value string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	q := u.Query()
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
