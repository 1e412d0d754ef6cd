package ui

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parallax/compare"
	"parallax/divergence"
)

// TestSuggestionsAreShownWithTheirEvidence: the API and the endpoint's page show the
// rule ready to be pasted, and the noise that is known there.
func TestSuggestionsAreShownWithTheirEvidence(t *testing.T) {
	t.Parallel()
	const endpoint = "GET /orders/{id}"
	r := newRig(t)
	r.store.summary.Endpoints = []divergence.EndpointStats{{Endpoint: endpoint, Compared: 100, Matched: 2, Diverged: 98}}
	issue := func(path string, by ...string) divergence.Issue {
		return divergence.Issue{Fingerprint: "1-00000000000000aa", Endpoint: endpoint, Path: path, Kind: "changed", Count: 98, By: by}
	}
	r.store.issues = []divergence.Issue{issue("$.token"), issue("$.name"), issue("$.ruled", "rule")}
	r.store.values = map[string][][2]string{}
	for i := range 40 {
		for _, path := range []string{"$.token", "$.ruled"} {
			r.store.values[endpoint+" "+path] = append(r.store.values[endpoint+" "+path],
				[2]string{fmt.Sprintf(`"00000000-0000-4000-8000-%012d"`, i), fmt.Sprintf(`"00000000-0000-4000-9000-%012d"`, i)})
		}
		r.store.values[endpoint+" $.name"] = append(r.store.values[endpoint+" $.name"], [2]string{`"Ann"`, `"ann"`})
	}
	answer := r.call("GET", "/api/v1/services/shop/rules:suggest", "")
	loadSchemas(t).check(t, "Suggestions", answer.Body.Bytes())
	var got suggestionsDocument
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suggestions) != 1 || got.Suggestions[0].Path != "$.token" || got.Suggestions[0].N != 98 || got.Suggestions[0].Of != 100 ||
		!strings.Contains(got.YAML, "class: uuid") {
		t.Errorf("suggested %+v", got)
	}
	page := r.call("GET", "/services/shop/endpoint?endpoint=GET+%2Forders%2F%7Bid%7D", "").Body.String()
	for _, want := range []string{"class: uuid", "98 of 100 exchanges", "nothing is applied by itself", "<code>$.at changed string:timestamp</code>", "7 of 9"} {
		if !strings.Contains(page, want) {
			t.Errorf("the endpoint's page lacks %q", want)
		}
	}
}

// fakeNoise is what the fake service holds as noise.
func fakeNoise(string) []compare.NoisePlace {
	return []compare.NoisePlace{{Place: "$.at changed string:timestamp", Exchanges: 9, Secondary: 7, Usual: true}}
}
