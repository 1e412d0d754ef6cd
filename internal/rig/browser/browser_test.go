package browser

import (
	"errors"
	"flag"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"parallax/internal/rig"
)

var shots = flag.String("shots", "", "write screenshots of each page to `DIR`")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

// TestFaultsAreHeard holds the rig itself: it must hear what the pages are to be free of.
func TestFaultsAreHeard(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/policy":
			w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:")
			fmt.Fprint(w, `<link rel=icon href="data:,"><p style="color:red">styled`)
		case "/missing":
			fmt.Fprint(w, `<link rel=icon href="data:,"><img src="/none" alt="none">`)
		case "/throws":
			fmt.Fprint(w, `<link rel=icon href="data:,"><script>throw new Error("no")</script>`)
		case "/good":
			fmt.Fprint(w, `<!doctype html><html lang=en><link rel=icon href="data:,"><title>Good</title><main><h1>Good</h1></main>`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	tab := Open(t)
	for path, want := range map[string]string{"/policy": "Content Security Policy", "/missing": "404", "/throws": "exception"} {
		tab.Load(server.URL + path)
		if faults := tab.Faults(); !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("%s: heard %q, want %q", path, faults, want)
		}
	}
	tab.Load(server.URL + "/missing")
	if barriers := tab.Barriers(); !slices.ContainsFunc(barriers, func(b string) bool { return strings.HasPrefix(b, "document-title") }) {
		t.Errorf("axe-core does not see that a title is missing: %q", barriers)
	}
	tab.Faults()
	tab.Load(server.URL + "/good")
	if barriers, faults := tab.Barriers(), tab.Faults(); len(barriers)+len(faults) > 0 {
		t.Errorf("a good page has barriers %q, faults %q", barriers, faults)
	}
}

// demo starts the demo of the shop and returns its pages once it has an issue and an exchange.
func demo(t *testing.T) (admin, issue, exchange string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "parallax-browser-") // not t.TempDir: the user postgres passes through it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	address := rig.FreeAddress(t)
	command := startDemo(t, dir, address)
	admin = "http://" + address
	rig.Eventually(t, "an issue with an example", func() error {
		if err := command(); err != nil {
			t.Fatal(err)
		}
		if issue, err = find(admin+"/services/shop/issues", `/services/shop/issues/[^"?#/]+`); err != nil {
			return err
		}
		exchange, err = find(admin+issue, `/services/shop/exchanges/[^"?#]+`)
		return err
	})
	return admin, issue, exchange
}

// find returns the first match in a page.
func find(url, pattern string) (string, error) {
	text, err := get(url)
	if found := regexp.MustCompile(pattern).FindString(text); err != nil || found != "" {
		return found, err
	}
	return "", fmt.Errorf("%s has no %s", url, pattern)
}

// TestPages opens each page of the demo as people see it: nothing goes wrong in it, and axe-core
// finds nothing that keeps people out.
func TestPages(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs a demo")
	}
	admin, issue, exchange := demo(t)
	endpoint := ""
	rig.Eventually(t, "an endpoint with a chart", func() (err error) {
		endpoint, err = find(admin+"/services/shop", `/services/shop/endpoint\?[^"]*orders[^"]*`)
		return err
	})
	tab := Open(t)
	for name, path := range map[string]string{
		"overview": "/", "service": "/services/shop", "endpoint": html.UnescapeString(endpoint), "issues": "/services/shop/issues", "issue": issue,
		"exchange": exchange, "rules": "/services/shop/rules", "blind-spots": "/services/shop/blind-spots", "written": "/services/shop/written",
		"promotion": "/services/shop/promotion", "health": "/health",
	} {
		for _, width := range []int64{1440, 390} {
			for _, scheme := range []string{"light", "dark"} {
				if *shots == "" && (width == 1440) != (scheme == "light") {
					continue // one of each, unless pictures are wanted
				}
				tab.Look(width, scheme)
				tab.Load(admin + path)
				tab.Shoot(*shots, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				if wide := tab.Wide(); wide > 0 {
					t.Errorf("%s at %d px is %d px too wide", name, width, wide)
				}
				if name == "overview" || name == "service" || name == "endpoint" {
					checkChart(t, tab, name)
				}
				for _, each := range slices.Concat(tab.Faults(), tab.Barriers()) {
					t.Errorf("%s at %d px, %s: %s", name, width, scheme, each)
				}
			}
		}
	}
	staysCurrent(t, tab, admin+"/services/shop")
	tab.Scripts(false)
	tab.Load(admin + "/services/shop")
	if !Ask[bool](tab, `document.querySelectorAll(".plot").length === 0 && [...document.querySelectorAll(".charts .chart svg")].some(c => c.getBoundingClientRect().height > 100)`) {
		t.Error("without scripts there is no chart")
	}
	if entries, err := filepath.Glob(filepath.Join(*shots, "*.png")); *shots != "" && (err != nil || len(entries) < 40) {
		t.Errorf("%d pictures: %v", len(entries), err)
	}
}

// staysCurrent wants figures that change by themselves while the page stays, filters that are
// put into it with the focus where it was, an address that says what is shown, and a way back.
func staysCurrent(t *testing.T, tab *Tab, service string) {
	t.Helper()
	tab.Look(1440, "light")
	tab.Load(service)
	const figures, page = `document.querySelector("#live .sum").innerText`, `performance.timeOrigin`
	before, opened := Ask[string](tab, figures), Ask[float64](tab, page)
	rig.Eventually(t, "other figures", func() error {
		if Ask[string](tab, figures) == before {
			return fmt.Errorf("they are still %s", before)
		}
		return nil
	})
	checkChart(t, tab, "after the figures came")
	tab.Follow("7 days")
	if at := Ask[string](tab, `location.search + " " + document.activeElement.innerText + " " + document.activeElement.getAttribute("aria-current")`); at != "?window=7d 7 days true" {
		t.Errorf("after a filter was chosen the page is at %q", at)
	}
	checkChart(t, tab, "after a filter was chosen")
	tab.Follow(Ask[string](tab, `document.querySelectorAll("#live .choices a")[1].innerText.trim()`)) // endpoints that need attention
	if at := Ask[string](tab, `location.search + " " + document.activeElement.getAttribute("aria-current") + " " + document.activeElement.innerText.startsWith("needing attention")`); at != "?show=attention&window=7d true true" {
		t.Errorf("after endpoints were chosen the page is at %q", at)
	}
	if Ask[float64](tab, page) != opened {
		t.Error("the page was loaded anew where a part of it would have done")
	}
	for _, each := range slices.Concat(tab.Faults(), tab.Barriers()) {
		t.Errorf("after parts of the page were swapped: %s", each)
	}
	Ask[bool](tab, `history.go(-2) || true`)
	rig.Eventually(t, "the page before", func() error {
		if at := tab.Address(); at != service || Ask[float64](tab, page) == opened || Ask[string](tab, `document.readyState`) != "complete" {
			return errors.New("it is at " + at)
		}
		return nil
	})
	checkChart(t, tab, "on the way back")
}

// checkChart wants the chart drawn, and read point by point with the arrow keys.
func checkChart(t *testing.T, tab *Tab, name string) {
	t.Helper()
	drawn := Ask[string](tab, `(() => {
		const plot = document.querySelector(".charts.drawn .plot"), canvas = plot && plot.querySelector("canvas");
		if (!canvas || canvas.width < 200 || canvas.height < 100) return "the chart is not drawn";
		const ink = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(v => v > 0);
		if (!ink) return "the canvas is empty";
		if ([...document.querySelectorAll(".charts .chart")].some(c => c.offsetHeight > 0)) return "the chart is there twice";
		const marks = (JSON.parse(plot.parentElement.dataset.series).marks || []).length, seen = plot.querySelectorAll(".mark").length;
		return marks === seen ? "" : `+"`${seen} marks of ${marks} changes`"+`;
	})()`)
	if drawn != "" {
		t.Errorf("%s: %s", name, drawn)
		return
	}
	tab.Reach(Ask[string](tab, `document.querySelector(".plot").getAttribute("aria-label").trim()`))
	tab.Press(kb.Home)
	first := Ask[string](tab, `document.activeElement.getAttribute("aria-valuetext")`)
	tab.Press(kb.ArrowRight)
	if second := Ask[string](tab, `document.activeElement.getAttribute("aria-valuetext")`); !strings.Contains(first, "UTC: ") || second == first {
		t.Errorf("%s: the keys read %q, then %q", name, first, second)
	}
}
