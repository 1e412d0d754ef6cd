package ui

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parallax/divergence"
)

func TestSplitPlace(t *testing.T) {
	t.Parallel()
	for _, want := range [][]string{
		{"status"}, {"header:", "content-type"}, {"$"}, {"$", ".a"}, {"$", ".items", "[*]", ".price"},
		{"$", "['a.b']", "[*]", "['it\\'s']"}, {"effects:", "orders"}, {"effects:", "orders", " $", ".total"}, {"$", "['']", ".b"}, {"$", ".*"},
	} {
		got := splitPlace(strings.Join(want, ""))
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestFieldTree: branches with one thing below them are one line with it, and places are
// whole again when the lines of their branches are joined.
func TestFieldTree(t *testing.T) {
	t.Parallel()
	row := func(path, kind string, by ...string) issueRow {
		return issueRow{Issue: divergence.Issue{Endpoint: "GET /orders", Path: path, Kind: kind, Suppressed: 5, By: by}}
	}
	var got []string
	for _, r := range fieldTree("shop", now, 20, []issueRow{
		row("$.items[*].tax", "changed", "noise"), row("$.items[*].price", "changed", "noise", "rule"), row("$.id", "type"), row("$.id", "missing"),
		row("header:etag", "changed"), row("answer", "missing"), row("effects:orders $.total", "changed"), row("effects:orders", "extra"),
	}) {
		line := fmt.Sprint(r.Depth, " ", r.Name)
		if r.Issue != nil {
			line += fmt.Sprint(" ", r.Issue.Kind, " ", r.NoiseShare, " ", r.IgnoreURL != "")
		}
		got = append(got, line)
	}
	want := []string{
		"0 $", "1 .id type 0 true", "1 .id missing 0 true", "1 .items[*]", "2 .price changed 0 true", "2 .tax changed 0.25 true",
		"0 answer missing 0 false", "0 effects:orders extra 0 true", "1  $.total changed 0 true", "0 header:etag changed 0 true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestIgnoreThis: the link of a field leads to the editor with a rule about it and no
// other, which has a last day.
func TestIgnoreThis(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := "/services/shop/endpoint?endpoint=" + url.QueryEscape("GET /orders/{id}")
	page := parsePage(t, r, target, 200)
	for n := range page.Descendants() {
		if address := attribute(n, "href"); strings.Contains(address, "/rules?rule=") && strings.Contains(address, "created") {
			address = strings.TrimSuffix(address, "#try")
			says(t, address, parsePage(t, r, address, 200), `{endpoint: 'GET /orders/{id}', path: $.created, ignore: true, expires: "2027-02-19"}`)
			return
		}
	}
	t.Error("no link ignores $.created")
}

// TestNeedsAttentionFilter: endpoints that need somebody, by the URL.
func TestNeedsAttentionFilter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	says(t, "/", parsePage(t, r, "/", 200), "needing attention")
	listed := func(target string) (names []string) {
		for n := range parsePage(t, r, target, 200).Descendants() {
			if n.Data == "th" && strings.Contains(attribute(n, "class"), "clip") {
				names = append(names, attribute(n, "title"))
			}
		}
		return names
	}
	all, some := listed("/"), listed("/services/shop?show=attention")
	if len(all) != 7 || !slices.Contains(all, "GET /health") || !slices.Equal(some, []string{"GET /orders/{id}", "GET /orders", "GET /search"}) {
		t.Errorf("of %q these need attention: %q", all, some)
	}
	parsePage(t, r, "/?show=nonsense", 400)
}
