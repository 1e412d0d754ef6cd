package demo

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestEveryRequestBelongsToItsTemplate(t *testing.T) {
	t.Parallel()
	corpus := Corpus()
	if len(corpus) < 45 {
		t.Errorf("%d endpoints", len(corpus))
	}
	mux := http.NewServeMux()
	for _, e := range corpus {
		mux.Handle(strings.Replace(e.Template, " / ", " /{$} ", 1), http.NotFoundHandler()) // panics on a template given twice
	}
	for _, e := range corpus {
		for _, r := range e.Requests {
			_, pattern := mux.Handler(httptest.NewRequest(r.Method, r.Target, nil))
			if pattern != e.Template {
				t.Errorf("%s %s is of %q, and stands under %q", r.Method, r.Target, pattern, e.Template)
			}
		}
	}
}

func TestCorpusHasWhatServicesHave(t *testing.T) {
	t.Parallel()
	methods, contents, statuses := map[string]bool{}, map[string]bool{}, map[int]bool{}
	for _, e := range Corpus() {
		for _, r := range e.Requests {
			methods[r.Method] = true
			content, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
			contents[content] = true
			statuses[r.Want[0]/100] = true
		}
	}
	for _, want := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
		if !methods[want] {
			t.Errorf("no %s", want)
		}
	}
	for _, want := range []string{jsonType, formType, "multipart/form-data", "text/plain"} {
		if !contents[want] {
			t.Errorf("no body of type %s", want)
		}
	}
	for want := 2; want <= 5; want++ {
		if !statuses[want] {
			t.Errorf("no %dxx", want)
		}
	}
}

func TestDeckDealsEvenly(t *testing.T) {
	t.Parallel()
	corpus := []Endpoint{
		all("GET /a", "/a?1", "/a?2"),
		all("GET /b", "/b").times(3),
	}
	deck := NewDeck(corpus)
	count := map[string]int{}
	for range 4 * 10 {
		count[deck.Next().Target]++
	}
	if count["/a?1"] != 5 || count["/a?2"] != 5 || count["/b"] != 30 {
		t.Errorf("dealt %v", count)
	}
}

func TestDeckIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	first, second := NewDeck(Corpus()), NewDeck(Corpus())
	for range 500 {
		if a, b := first.Next(), second.Next(); a.Target != b.Target {
			t.Fatalf("%s, then %s", a.Target, b.Target)
		}
	}
}

// The old release answers every request as the corpus says, so that whatever
// else a caller sees is Parallax's doing; the new one gives an answer to each.
func TestReleasesAnswerTheCorpus(t *testing.T) {
	t.Parallel()
	old, candidate := releases(t)
	transport := NewTransport(1)
	t.Cleanup(transport.CloseIdleConnections)
	callers, others := Driver{Base: old, HTTP: transport}, Driver{Base: candidate, HTTP: transport}
	any := make([]int, 600)
	for i := range any {
		any[i] = i
	}
	for _, e := range Corpus() {
		for _, r := range e.Requests {
			if err := callers.ask(r); err != nil {
				t.Errorf("%s: %v", Old, err)
			}
			if !slices.ContainsFunc(r.Want, func(status int) bool { return status >= 500 }) {
				r.Want = any[:500]
			} else {
				r.Want = any
			}
			if err := others.ask(r); err != nil {
				t.Errorf("%s: %v", New, err)
			}
		}
	}
}
