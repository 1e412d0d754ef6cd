package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parallax"
	"parallax/divergence"
	"parallax/reports"
)

// parsePage reads a page and checks what every page promises.
func parsePage(t *testing.T, r *rig, target string, status int) *html.Node {
	t.Helper()
	answer := r.call("GET", target, "", "Accept", "text/html")
	if answer.Code != status || answer.Header().Get("Content-Type") != "text/html; charset=UTF-8" {
		t.Fatalf("%s: %d %s\n%s\n%s", target, answer.Code, answer.Header().Get("Content-Type"), answer.Body, r.log)
	}
	if strings.Contains(answer.Body.String(), "ZgotmplZ") || strings.Contains(answer.Body.String(), "<no value>") {
		t.Errorf("%s: a template was given what it cannot show", target)
	}
	doc, err := html.Parse(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, target, doc)
	return doc
}

// checkPage checks the structure of a page: nothing in it needs or is a script
// or inline style, and people who do not see it find their way.
func checkPage(t *testing.T, target string, doc *html.Node) {
	t.Helper()
	ids := map[string]bool{}
	headings := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"style", "iframe", "object", "embed", "base", "img"}, n.Data) {
			t.Errorf("%s has a <%s>", target, n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("%s: <%s %s=%q>", target, n.Data, a.Key, a.Val)
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("%s: id %q is there twice", target, a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			case a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#"):
				t.Errorf("%s links to %q", target, a.Val)
			}
		}
		switch n.Data {
		case "script":
			if !strings.HasPrefix(attribute(n, "src"), "/static/") || n.FirstChild != nil {
				t.Errorf("%s has a script that is not a file of ours: src=%q", target, attribute(n, "src"))
			}
		case "form":
			if attribute(n, "method") != "post" || !strings.HasPrefix(attribute(n, "action"), "/services/") && attribute(n, "action") != "/login" && attribute(n, "action") != "/logout" {
				t.Errorf("%s has a form that sends to %q", target, attribute(n, "action"))
			}
		case "h1":
			headings++
		case "table":
			checkTable(t, target, n)
		case "svg":
			if attribute(n, "aria-hidden") == "" && attribute(n, "aria-label") == "" {
				t.Errorf("%s has a picture without a label", target)
			}
		case "nav":
			if attribute(n, "aria-label") == "" {
				t.Errorf("%s has a nav without a label", target)
			}
		}
	}
	if headings != 1 || !ids["main"] {
		t.Errorf("%s has %d main headings, main content marked: %v", target, headings, ids["main"])
	}
	for n := range doc.Descendants() { // what labels something must be there
		if by := attribute(n, "aria-labelledby"); by != "" && !ids[by] {
			t.Errorf("%s: nothing has the id %q", target, by)
		}
	}
}

func checkTable(t *testing.T, target string, table *html.Node) {
	t.Helper()
	captions := 0
	for n := range table.Descendants() {
		if n.Data == "caption" {
			captions++
		}
		if n.Type == html.ElementNode && n.Data == "th" && attribute(n, "scope") == "" {
			t.Errorf("%s: a table's heading %q has no scope", target, text(n))
		}
	}
	if captions != 1 {
		t.Errorf("%s: a table has %d captions", target, captions)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what a reader sees of a node, with spaces made one.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(b.String(), thin, " ")), " ")
}

// says checks that a page's text has every one of the parts.
func says(t *testing.T, target string, doc *html.Node, parts ...string) {
	t.Helper()
	all := text(doc)
	for _, p := range parts {
		if !strings.Contains(all, p) {
			t.Errorf("%s does not say %q:\n%s", target, p, all)
		}
	}
}

func TestServicePage(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/", "/services/shop", "/services/shop?window=all"} {
		says(t, target, parsePage(t, newRig(t), target, 200),
			"Hold", "The candidate may not take over yet: 3 things are missing.", "Compared for 3", "GET /orders/{id} : 308 of 30 508 exchanges diverge",
			"0 % of users on the candidate", "connection refused since 11:58",
			"received 61 874", "unmirrored 4330 unsafe 4210 sample 120", "compared 57 527", "lost 3 queue full 3", "in flight 14",
			"1.01 %", "4.1 ms", "type: number became string", "1 endpoint is not covered by the verdict", "3 %")
	}
}

// TestRatesHaveLimits: wherever a rate is drawn over time, what it lies between is too.
func TestRatesHaveLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		second := c.Services[0]
		second.Name = "billing"
		c.Services = append(c.Services, second)
	})
	for _, target := range []string{"/", "/services/shop", "/services/shop/endpoint?endpoint=" + url.QueryEscape("GET /orders/{id}")} {
		text := r.call("GET", target, "", "Accept", "text/html").Body.String()
		if !strings.Contains(text, `class="band"`) || !strings.Contains(text, "&#34;upper&#34;") || !strings.Contains(text, "limits of the rate so far") {
			t.Errorf("%s: the chart has no limits", target)
		}
	}
}

func TestEndpointsAreByImpact(t *testing.T) {
	t.Parallel()
	all := text(parsePage(t, newRig(t), "/", 200))
	_, table, _ := strings.Cut(all, "Endpoints, those with the most divergences first")
	first, second := strings.Index(table, "GET /orders/{id}"), strings.Index(table, "GET /search")
	last := strings.Index(table, "POST /orders")
	if !(0 <= first && first < second && second < last) {
		t.Errorf("at %d, %d, %d:\n%s", first, second, last, table)
	}
}

func TestEndpointPage(t *testing.T) {
	t.Parallel()
	target := endpointPath("shop", "GET /orders/{id}")
	doc := parsePage(t, newRig(t), target, 200)
	says(t, target, doc, "Roll back", "308 of 30 508 exchanges diverge", "1.01 %, between", "Not comparable 12 truncated 12",
		"95 % within 4.1 ms 3.9 ms × 0.95", "≠ 308", "$.items[*].price", "What differs and does not count", "$.created", "diverged 308", firstID, "timeout")
}

func TestEndpointPageFilters(t *testing.T) {
	t.Parallel()
	f := func(query, outcome string) {
		t.Helper()
		r := newRig(t)
		parsePage(t, r, endpointPath("shop", "GET /orders/{id}")+query, 200)
		if r.store.filter.Outcome != outcome || r.store.filter.Endpoint != "GET /orders/{id}" {
			t.Errorf("%q asks for %+v", query, r.store.filter)
		}
	}
	f("", "diverged")
	f("&outcome=match", "match")
	f("&issue=1-0123456789abcdef", "")
}

func TestEndpointWithoutTraffic(t *testing.T) {
	t.Parallel()
	target := endpointPath("shop", "GET /nothing")
	says(t, target, parsePage(t, newRig(t), target, 200), "Nothing is known of this endpoint in this time.")
}

func TestExchangePage(t *testing.T) {
	t.Parallel()
	target := exchangePath("shop", firstID)
	doc := parsePage(t, newRig(t), target, 200)
	says(t, target, doc, "GET /orders/17?expand=items", "$.items[1].price changed 59.95 59.96", "$.state missing", "noise primary and secondary differ here in 212 of 214",
		"rules[2]: {path: header:server, ignore: true}", `"note": "<script>alert(1)</script>"`, "content-type differs", "Authorization: Bearer redacted:5c1f", "329 B", "+180 µs")
	marks := map[string]bool{}
	for n := range doc.Descendants() {
		if n.Data == "mark" {
			marks[text(n)] = true
		}
	}
	if !marks["5"] || !marks["6"] || !marks["17"] || !marks[`"17"`] {
		t.Errorf("marked as changed: %v", marks)
	}
}

func TestExchangeAgainstSecondary(t *testing.T) {
	t.Parallel()
	target := exchangePath("shop", firstID) + "?against=secondary"
	says(t, target, parsePage(t, newRig(t), target, 200), "primary and secondary", "No line differs.")
}

func TestExchangeShowsItsIdentifiers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	detail := r.store.details[firstID]
	detail.Unmapped = []string{"cart"}
	detail.Identifiers = []divergence.IdentifierPair{{Name: "order", Primary: "17", Leg: "candidate", Value: "9017"}}
	r.store.details[firstID] = detail
	target := exchangePath("shop", firstID)
	says(t, target, parsePage(t, r, target, 200), "Identifiers", "a value of cart that has no partner", "order 17 candidate 9017")
}

func TestExchangeOfBytes(t *testing.T) {
	t.Parallel()
	target := exchangePath("shop", binaryID)
	says(t, target, parsePage(t, newRig(t), target, 200), "At least one body is not text.", "10 B")
}

func TestExchangeThatIsStoredEncoded(t *testing.T) {
	t.Parallel()
	f := func(decode func(string, []byte) ([]byte, error), want string) {
		t.Helper()
		r := newRig(t, func(c *Config) { c.Decode = decode })
		coded := answer(200, "text/plain", "coded", parallax.Field{Name: "content-encoding", Value: "rot13"})
		detail := r.store.details[firstID]
		detail.Exchange = &parallax.Exchange{Legs: [parallax.Legs]*parallax.Call{coded, answer(200, "text/plain", "plain")}}
		r.store.details[firstID] = detail
		target := exchangePath("shop", firstID)
		says(t, target, parsePage(t, r, target, 200), want)
	}
	f(nil, "removed: coded")
	f(func(coding string, body []byte) ([]byte, error) { return []byte(coding + " taken off"), nil }, "removed: rot13 taken off")
	f(func(string, []byte) ([]byte, error) { return nil, errors.New("damaged") }, "removed: coded")
}

func TestExchangeWithoutBodies(t *testing.T) {
	t.Parallel()
	target := exchangePath("shop", secondID)
	says(t, target, parsePage(t, newRig(t), target, 200), "The bodies of this exchange were not kept.", "timeout")
}

func TestIssuesPage(t *testing.T) {
	t.Parallel()
	target := "/services/shop/issues"
	says(t, target, parsePage(t, newRig(t), target, 200), "Issues of shop", "$.id", "298", "changed: 2xx became 5xx", "What differs and does not count")
	target += "?endpoint=" + url.QueryEscape("GET /orders")
	says(t, target, parsePage(t, newRig(t), target, 200), "Only those of GET /orders.")
}

func TestWhatDiffersIsSaidInWords(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"type", "string:timestamp", "type: a text that is a time"}, {"changed", "", "changed"}, {"changed", "2xx became 5xx", "changed: 2xx became 5xx"}} {
		if got := whatDiffers(c[0], c[1]); got != c[2] {
			t.Errorf("%q, want %q", got, c[2])
		}
	}
	if got := takenAway([]string{"accepted", "noise", "rule", "declared_noise"}); got != "accepted, as noise, by a rule, declared noise" {
		t.Error(got)
	}
}

// TestIssuePageSaysWhatItsExchangesHaveInCommon: as a table, with what callers wrote as
// text, and in words where nothing can be said.
func TestIssuePageSaysWhatItsExchangesHaveInCommon(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := "/services/shop/issues/1-0123456789abcdef"
	says(t, target, parsePage(t, r, target, 200), "What they have in common", `query currency is "<USD>"`, "20 of 20", "0 of 20", "traits were tried on stored exchanges")
	r.store.lone = true
	says(t, target, parsePage(t, r, target, 200), "it takes 5 stored exchanges that show the issue, and there are 1.")
}

func TestSeveralServices(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		second := c.Services[0]
		second.Name = "billing"
		second.Judge = newFakeJudge(reports.Verdict{Decision: reports.Promote, Final: true, AsOf: now})
		c.Services = append(c.Services, second)
	})
	says(t, "/", parsePage(t, r, "/", 200), "shop", "billing", "Promote", "The candidate may take over")
}

func TestNoService(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Services = nil })
	says(t, "/", parsePage(t, r, "/", 200), "No service is configured.")
}

func TestEmptyPageTeaches(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.summary, r.store.issues = divergence.Summary{}, nil
	r.judge.verdict = reports.Verdict{Decision: reports.Hold, Reasons: []reports.Reason{{Code: reports.NoTraffic}}}
	says(t, "/", parsePage(t, r, "/", 200), "Nothing is known yet", "Nothing was received in this time.", "curl -i http://127.0.0.1:8080/")
}

func TestPagesWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.err = fmt.Errorf("%w: connection refused", divergence.ErrAway)
	for _, target := range []string{"/", endpointPath("shop", "GET /orders/{id}")} {
		says(t, target, parsePage(t, r, target, 200), "The store is away, so there are no figures at the moment.", "Callers are served", "connection refused", "308 of 30 508")
	}
	says(t, "issues", parsePage(t, r, "/services/shop/issues", 200), "The store is away")
	says(t, "exchange", parsePage(t, r, exchangePath("shop", firstID), http.StatusServiceUnavailable), "the store is away")
}

func TestErrorPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	says(t, "service", parsePage(t, r, "/services/nosuch", 404), "Not Found", `there is no service "nosuch"`, "There is: shop")
	says(t, "path", parsePage(t, r, "/nothing", 404), "nothing at this path")
	says(t, "id", parsePage(t, r, "/services/shop/exchanges/xyz", 400), "cannot read exchange id")
	says(t, "window", parsePage(t, r, "/services/shop?window=2y", 400), "window: want 1h")
	says(t, "endpoint", parsePage(t, r, "/services/shop/endpoint", 400), "endpoint: is missing")
	r.store.err = fmt.Errorf("syntax error at 12")
	says(t, "defect", parsePage(t, r, "/", 500), "its log says more")
	if log := r.log.String(); strings.Count(log, "syntax error") != 1 {
		t.Errorf("the log: %s", log)
	}
}

// TestNothingFromOutsideIsRendered puts markup wherever a caller, a service or
// an address can put text. checkPage, inside parsePage, finds what became an
// element or a handler; here the text must be on the page as text.
func TestNothingFromOutsideIsRendered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := `<script>alert("x")</script>`
	says(t, "/", parsePage(t, r, "/", 200), shown, `$["<b>bold</b>"]`)
	says(t, "endpoint", parsePage(t, r, endpointPath("shop", hostile), 200), shown)
	says(t, "exchange", parsePage(t, r, exchangePath("shop", firstID), 200), "<script>alert(1)</script>", "<img src=x onerror=alert(1)>")
	says(t, "service", parsePage(t, r, "/services/"+url.PathEscape(`<script>alert(1)<`), 404), "<script>alert(1)<")
	says(t, "query", parsePage(t, r, `/services/shop?window=%22%3E%3Cscript%3E`, 400), "<script>")
	parsePage(t, r, `/services/shop/endpoint?endpoint=javascript:alert(1)`, 200)
}

func TestPageSaysThatTheVersionIsNotKnown(t *testing.T) {
	t.Parallel()
	f := func(known bool) {
		t.Helper()
		r := newRig(t)
		r.judge.verdict.VersionKnown = known
		body := r.call("GET", "/services/shop", "").Body.String()
		if says := strings.Contains(body, "does not tell its version"); says == known {
			t.Errorf("version known %v: the page says that it is not: %v", known, says)
		}
	}
	f(true)
	f(false)
}
