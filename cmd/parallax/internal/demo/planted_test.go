package demo

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/reports"
)

// found is a run in which all that is planted was found, and nothing else.
func found(t *testing.T, names ...string) ShopResult {
	t.Helper()
	issues := []divergence.Issue{
		{Endpoint: "POST /orders", Path: "effects:orders $.vat_cents", Kind: "changed", Count: 7},
		{Endpoint: "POST /orders/{id}/pay", Path: "effects:mails", Kind: "extra", Count: 3},
		{Endpoint: "POST /orders/{id}/pay", Path: "effects:sent_mails", Kind: "extra", Count: 3},
		{Endpoint: "GET /orders", Path: "$.orders[*].placed_at", Kind: "changed", Suppressed: 9},
	}
	issues = slices.DeleteFunc(issues, func(i divergence.Issue) bool { return i.Kind == "extra" && !slices.Contains(names, "double-mail") })
	r := ShopResult{
		Sent: 100, Paid: 3, Mails: 3,
		Written: map[string]uint64{"primary tag": 50, "candidate tag": 50},
		Report: reports.Report{
			Accounting: divergence.Accounting{Received: 100, Compared: map[string]int64{"match": 90, "diverged": 10}},
			Endpoints:  []reports.Endpoint{endpointOf("GET /orders", 0.002, 0.008), endpointOf("GET /products", 0.002, 0.002)},
		},
	}
	r.Found, r.Others = Found(names, issues)
	r.Slower = slowEndpoints(r.Found, r.Report.Endpoints)
	if broken := brokenShop(r); len(broken) > 0 || len(r.Slower) > 0 {
		t.Fatalf("a run that is good is not: %q, slower %v", broken, r.Slower)
	}
	return r
}

func endpointOf(name string, primary, candidate float64) reports.Endpoint {
	return reports.Endpoint{EndpointStats: divergence.EndpointStats{
		Endpoint: name, Compared: 20, Primary: divergence.Latency{P50: primary}, Candidate: divergence.Latency{P50: candidate},
	}}
}

// TestBrokenShop: whatever a run of the demo of the shop has beside what was planted, or
// lacks, it is not good.
func TestBrokenShop(t *testing.T) {
	t.Parallel()
	names := []string{"rounding", "slow", "double-mail"}
	f := func(want string, spoil func(r *ShopResult)) {
		t.Helper()
		r := found(t, names...)
		spoil(&r)
		if got := strings.Join(brokenShop(r), "\n"); !strings.Contains(got, want) || got == "" {
			t.Errorf("broken promises %q, want %q", got, want)
		}
	}
	f("a shopper saw an error: 500", func(r *ShopResult) { r.Errors = []string{"500"} })
	f("rounding was not found at effects:orders $.vat_cents", func(r *ShopResult) { r.Found[0].Issues = nil })
	f("double-mail was not found at effects:sent_mails", func(r *ShopResult) { r.Found[2].Issues = r.Found[2].Issues[:1] })
	f("slow was not found at the times of GET /orders", func(r *ShopResult) { r.Found[1].Slow = nil })
	f("$.total of GET /orders differs, and nobody planted that", func(r *ShopResult) {
		r.Others = []divergence.Issue{{Endpoint: "GET /orders", Path: "$.total", Count: 1}}
	})
	f("3 orders were paid for, and 6 mails were sent", func(r *ShopResult) { r.Mails = 6 })
	f("shoppers sent 100 requests, Parallax counted 99", func(r *ShopResult) { r.Report.Accounting.Received = 99 })
	f("nothing was found equal", func(r *ShopResult) { r.Report.Accounting.Compared["match"] = 0 })
	f("no write found its exchange", func(r *ShopResult) { delete(r.Written, "candidate tag") })
	f("6 of 100 exchanges could not be compared: effects_unknown 6", func(r *ShopResult) {
		r.Report.Accounting.Compared = map[string]int64{"match": 84, "diverged": 10, "not_comparable": 6}
		r.Report.Endpoints[0].NotComparableReasons = map[string]int64{"effects_unknown": 6}
	})
	f("6 of 100 exchanges could not be compared: inherited 9, transient 6", func(r *ShopResult) {
		r.Report.Accounting.Compared = map[string]int64{"match": 75, "diverged": 10, "not_comparable": 15}
		r.Report.Endpoints[0].NotComparableReasons = map[string]int64{"inherited": 9, "transient": 6}
	})
	f("2 of 102 writes found no exchange", func(r *ShopResult) { r.Written["candidate unattributed"] = 2 })
}

// TestSlowEndpoints: what is slower is the defect's where one is planted, and told apart
// elsewhere, unless there is little to go by.
func TestSlowEndpoints(t *testing.T) {
	t.Parallel()
	planted, _ := Found([]string{"rounding", "slow"}, nil)
	few := endpointOf("GET /products", 0.001, 0.009)
	few.Compared = 5
	others := slowEndpoints(planted, []reports.Endpoint{
		endpointOf("GET /orders", 0.002, 0.004), endpointOf("GET /orders/{id}", 0.002, 0.003), endpointOf("POST /sessions", 0.001, 0.003), endpointOf("POST /orders", 0.001, 0.009), few,
	})
	if planted[1].Slow == nil || planted[1].Slow.Ratio() != 2 {
		t.Errorf("what was planted is %+v", planted[1].Slow)
	}
	if diff := cmp.Diff([]Slower{{Endpoint: "POST /sessions", Primary: 0.001, Candidate: 0.003, Compared: 20}}, others); diff != "" {
		t.Errorf("slower besides (-want +got)\n%s", diff)
	}
}

// TestShopText: the text has each defect with its place, both values and where to look.
func TestShopText(t *testing.T) {
	t.Parallel()
	r := found(t, "rounding", "slow", "double-mail")
	r.URL, r.Good = "http://127.0.0.1:7070", true
	r.Found[0].Issues[0].Primary, r.Found[0].Issues[0].Candidate, r.Found[0].Issues[0].Fingerprint = "190", "189", "1-00aa"
	r.Found[2].Counts = "of such the primary sent 1, the candidate 2"
	text := r.text()
	for _, want := range []string{
		"90 equal, 10 different, 0 not comparable.", "3 orders were paid for, and 3 mails left the house",
		"1. rounding: the new version cuts the VAT", "effects:orders $.vat_cents changed in 7 of POST /orders\n     old  190\n     new  189\n   http://127.0.0.1:7070/services/shop/issues/1-00aa\n",
		"GET /orders takes 4.0 times as long: half of 20 answers within 2.0 ms -> 8.0 ms",
		"effects:sent_mails extra in 3 of POST /orders/{id}/pay\n     of such the primary sent 1, the candidate 2\n",
		"Every planted defect was found (3 of 3), and nothing else was reported.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	r.URL = "" // the demo ends, and its pages with it
	if text := r.text(); strings.Contains(text, "/services/") || !strings.Contains(text, "parallax demo --shop") {
		t.Errorf("a page that is gone is named, or not how to keep it:\n%s", text)
	}
}
