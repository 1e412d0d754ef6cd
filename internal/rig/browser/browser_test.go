package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

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
