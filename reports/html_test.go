package reports

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"parallax/divergence"
)

func handout() Handout {
	r, v := week()
	return Handout{Report: r, Verdict: v, At: v.AsOf, More: true, Issues: []divergence.Issue{
		{Fingerprint: "1-a", Endpoint: "GET /orders/{id}", Path: "$.items[*].price", Kind: "changed", State: "bug", Count: 1234, Primary: "9.99", Candidate: "10.02",
			Decision: &divergence.IssueDecision{Who: "ann", Note: "rounding"}},
		{Fingerprint: "1-b", Endpoint: "GET /prices", Path: "$.currency", Kind: "missing", State: "open", Count: 7, Primary: `"EUR"`},
	}}
}

// TestHandout writes the page of a week.
func TestHandout(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	if err := WriteHTML(&got, handout()); err != nil {
		t.Fatal(err)
	}
	golden(t, "week.html", got.Bytes())
}

// outside are ways in which a page asks for something else.
var outside = regexp.MustCompile(`(?i)<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import|https?://`)

// TestHandoutNeedsNothingElse: no script, no other file, no markup from what versions answer, and
// it is well formed.
func TestHandoutNeedsNothingElse(t *testing.T) {
	t.Parallel()
	h := handout()
	h.Issues[0].Primary, h.Issues[0].Path = `<script src="https://x.example/"></script>`, "$['<b>']"
	var got bytes.Buffer
	if err := WriteHTML(&got, h); err != nil {
		t.Fatal(err)
	}
	if found := outside.FindString(strings.ReplaceAll(got.String(), "&lt;script src=&#34;https://x.example/", "")); found != "" {
		t.Errorf("the page has %q in it", found)
	}
	var open []string
	for z := html.NewTokenizer(&got); ; {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if z.Err() != io.EOF || len(open) > 0 {
				t.Errorf("it ends with %v open: %v", open, z.Err())
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) != "meta" {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> ends %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

// TestHandoutWithoutValues: who may not see values hands none out, and says so; nothing that
// differs is another thing.
func TestHandoutWithoutValues(t *testing.T) {
	t.Parallel()
	f := func(issues []divergence.Issue, want string) {
		t.Helper()
		h := handout()
		h.Issues, h.At = issues, time.Time{}
		var got bytes.Buffer
		if err := WriteHTML(&got, h); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	f(nil, "Whoever made this may not see values.")
	f([]divergence.Issue{}, "Nothing that counts.")
}
