package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("cannot read the golden file; write it with -update: %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// week is a service in the middle of its validation: one endpoint passes, one is
// short of samples, one diverges, one cannot be compared, one is never mirrored.
func week() (Report, Verdict) {
	passing := tick("GET /orders/{id}", 1, 30_310, 2)
	passing.PolicyHash = ""
	short := tick("GET /orders", 2, 210, 0)
	short.PolicyHash = ""
	diverging := tick("GET /rare/{a|b}", 3, 308, 8)
	diverging.PolicyHash, diverging.SlowB, diverging.SlowC = "", 70, 10
	failing := tick("GET /broken", 4, 0, 0)
	failing.PolicyHash, failing.Received, failing.NotComparable = "", 7, 7
	unmirrored := tick("POST /orders", 5, 0, 0)
	unmirrored.PolicyHash, unmirrored.Received = "", 40
	unmirrored.PrimaryVersion = "1.41.0"

	e := fold(DefaultPromotion(), passing, short, diverging, failing, unmirrored)
	held := divergence.Summary{
		Accounting: divergence.Accounting{
			Received: 30_880, Unmirrored: map[string]int64{"unsafe": 40},
			Compared: map[string]int64{"match": 30_818, "diverged": 10, "not_comparable": 7},
			Lost:     map[string]int64{"queue_full": 3}, InFlight: 2,
		},
		Endpoints: []divergence.EndpointStats{
			{Endpoint: "GET /broken", Compared: 7, NotComparable: 7, NotComparableReasons: map[string]int64{"primary_failed": 7}, PrimaryFailed: 7, StatusMatrix: map[string]int64{"500/500": 7}},
			{Endpoint: "GET /orders", Compared: 210, Matched: 210, StatusMatrix: map[string]int64{"200/200": 210}},
			{Endpoint: "GET /orders/{id}", Compared: 30_310, Matched: 30_308, Diverged: 2, Noise: 4, Accepted: 1, Primary: divergence.Latency{P50: 0.0021, P95: 0.004, P99: 0.009}, Candidate: divergence.Latency{P50: 0.002, P95: 0.0039, P99: 0.011}},
			{Endpoint: "GET /rare/{a|b}", Compared: 308, Matched: 300, Diverged: 8, Lost: 3, StatusMatrix: map[string]int64{"200/200": 305, "200/500": 3}},
			{Endpoint: "POST /orders", Received: 40, Unmirrored: map[string]int64{"unsafe": 40}},
		},
	}
	now := noon.Add(90 * time.Second)
	v := e.Verdict(now, Context{Service: "shop", RulesVersion: "b3c1", Step: 100, Accounting: held.Accounting})
	v.Chain = strings.Repeat("e07c", 16)
	return Build(divergence.Window{From: noon, To: now}, held, v), v
}

func TestRenderings(t *testing.T) {
	t.Parallel()
	r, v := week()
	for name, write := range map[string]func(io.Writer, Report, Verdict) error{
		"week.txt": WriteText, "week.md": WriteMarkdown, "week.xml": WriteJUnit,
		"week.verdict.json": func(w io.Writer, _ Report, v Verdict) error { return WriteJSON(w, v) },
		"week.report.json": func(w io.Writer, r Report, _ Verdict) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
	} {
		var got bytes.Buffer
		if err := write(&got, r, v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name, got.Bytes())
	}
}

func TestReportRates(t *testing.T) {
	t.Parallel()
	r, _ := week()
	for _, e := range r.Endpoints {
		if e.Endpoint != "GET /rare/{a|b}" {
			continue
		}
		near(t, "rate", 8, 308, 0, e.Rate, 8.0/308, 0)
		near(t, "lower", 8, 308, 0, e.Lower, 0.0056, 5e-5)
		near(t, "upper", 8, 308, 0, e.Upper, 0.0615, 5e-5)
		return
	}
	t.Error("the endpoint is not in the report")
}

// Nothing known is no fault: the first report of a service, before any verdict.
func TestReportBeforeAnything(t *testing.T) {
	t.Parallel()
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "GET /a"}}}, Verdict{})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"unmirrored":{}`, `"compared":{}`, `"lost":{}`, `"reasons":[]`, `"status_matrix":{}`, `"lower":0,"upper":1`, `"verdict":"hold"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report has no %s:\n%s", want, text)
		}
	}
	text, err = json.Marshal(NewEvidence(quick()).Verdict(noon, Context{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"unmirrored":{}`, `"not_covered":[]`, `"worst":null`, `"code":"no_traffic"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the verdict has no %s:\n%s", want, text)
		}
	}
}

// Endpoints and versions come from traffic: they must not write to the terminal
// or into the page.
func TestRenderingsAreSafe(t *testing.T) {
	t.Parallel()
	x := tick("GET /\x1b[2J`<script>|", 1, 10, 10)
	x.CandidateVersion = "\x1b]0;owned\a<b>"
	e := fold(quick(), x)
	v := at(e, 1)
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: x.Endpoint}}}, v)
	for name, write := range map[string]func(io.Writer, Report, Verdict) error{"text": WriteText, "markdown": WriteMarkdown, "junit": WriteJUnit} {
		var got bytes.Buffer
		if err := write(&got, r, v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.ContainsAny(got.String(), "\x1b\a") {
			t.Errorf("%s lets an escape sequence through: %q", name, got.String())
		}
		if name != "text" && strings.Contains(got.String(), "<script>") {
			t.Errorf("%s lets markup through: %q", name, got.String())
		}
		if name == "junit" {
			if err := xml.Unmarshal(got.Bytes(), new(junitSuite)); err != nil {
				t.Errorf("the XML cannot be read: %v", err)
			}
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]string{
		0: "0 %", 1: "100 %", 0.001: "0.1 %", 8.0 / 308: "2.6 %", 0.99999: "100 %", 6.6e-5: "0.0066 %", 1e-7: "<0.0001 %", 3.66e-6: "0.000366 %",
	} {
		if got := percent(share); got != want {
			t.Errorf("percent(%v) = %s, want %s", share, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason Reason
		want   string
	}{
		{Reason{Code: InsufficientSamples, Endpoint: "GET /a", Test: DivergenceTest, N: 210, Need: 3787, EtaSeconds: 1670},
			"GET /a: needs 3787 exchanges and has 210; the rest takes about 28 min."},
		{Reason{Code: InsufficientSamples, Endpoint: "GET /a", Test: LatencyTest, N: 3, Need: 93},
			"GET /a: needs 93 exchanges with both times known and has 3."},
		{Reason{Code: DivergenceRate, Endpoint: "GET /a", K: 8, N: 308, Threshold: 0.001, Lower: 0.0056, Upper: 0.0615, Need: 40000},
			"GET /a: 8 of 308 exchanges diverge, so the rate is between 0.56 % and 6.15 %; at most 0.1 % is allowed."},
		{Reason{Code: DivergenceRate, Endpoint: "GET /a", K: 1, N: 3900, Threshold: 0.001, Lower: 2e-6, Upper: 0.0017, Need: 6634, EtaSeconds: 90000},
			"GET /a: 1 of 3900 exchanges diverge, so the rate is between 0.0002 % and 0.17 %; at most 0.1 % is allowed; it passes at 6634 if no more do, in about 25.0 h."},
		{Reason{Code: CandidateErrors, Endpoint: "GET /a", K: 5, N: 1000, Threshold: 0.001, Lower: 0.002, Upper: 0.01},
			"GET /a: the candidate failed where the primary did not in 5 of 1000 exchanges, so the rate is between 0.2 % and 1 %; at most 0.1 % is allowed."},
		{Reason{Code: TooSlow, Endpoint: "GET /a", K: 300, N: 1000, Threshold: 0.05, Lower: 0.2, Upper: 0.4},
			"GET /a: the candidate was slower in 300 of 1000 exchanges, so the rate is between 20 % and 40 %; at most 5 % is allowed."},
		{Reason{Code: LostShare, K: 30, N: 1_000_000, Threshold: 0.01}, "30 of 1 000 000 mirrored exchanges were lost before they were compared; at most 1 % is allowed."},
		{Reason{Code: NotComparable, Endpoint: "GET /a", N: 7}, "GET /a: none of 7 exchanges could be compared, so nothing is known about the candidate here."},
		{Reason{Code: NotComparable, Endpoint: "GET /a", K: 76_000, N: 80_000, Threshold: 0.01},
			"GET /a: 76 000 of 80 000 exchanges could not be compared; at most 1 % may be unknown, unless the endpoint is waived."},
		{Reason{Code: NotCovered, Endpoint: "POST /a", N: 7}, "POST /a: none of 7 requests was ever sent to the candidate, so no test judges it."},
		{Reason{Code: LateRegression, Endpoint: "GET /a", K: 15, N: 1_000_147}, "GET /a: it passed, and diverges more often since: 15 of 1 000 147 exchanges in all."},
		{Reason{Code: TooShort, Seconds: 5400, NeedSeconds: 86400 * 3}, "Compared for 1.5 h since the last change; the policy asks for 3 days."},
		{Reason{Code: NoTraffic}, "Nothing was compared yet."},
		{Reason{Code: Stale, Seconds: 1200}, "Nothing was compared for 20 min."},
		{Reason{Code: Paused}, "A person paused the promotion, or rolled back; resuming it ends that, and so does moving the step."},
		{Reason{Code: StoreAway}, "The store cannot be read, so nothing can be said about the candidate."},
		{Reason{Code: InsufficientSamples, Endpoint: "GET /a"}, "GET /a: too little was compared yet."},
	} {
		if got := c.reason.Sentence(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.reason.Code, got, c.want)
		}
	}
	for _, code := range Codes {
		if got := (Reason{Code: code}).Sentence(); strings.EqualFold(got, strings.ReplaceAll(string(code), "_", " ")+".") {
			t.Errorf("%s has no sentence of its own", code)
		}
	}
}
