package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/mirror/mirrortest"
	"parallax/reports"
)

// answer is one answer of the verdict call.
type answer struct {
	status int
	body   string
}

func verdictOf(d reports.Decision) answer {
	v := reports.Verdict{Service: "shop", Decision: d, Alpha: 0.05, Reasons: []reports.Reason{{Code: reports.NoTraffic}}}
	if d == reports.Promote {
		v.Reasons = []reports.Reason{}
	}
	text, _ := json.Marshal(v)
	return answer{http.StatusOK, string(text)}
}

// adminServer gives one answer after the other, the last one for ever, and a
// report with one endpoint. It returns its URL and what was asked for.
func adminServer(t *testing.T, answers ...answer) (address string, asked func() []string) {
	t.Helper()
	var n atomic.Int32
	waits := make(chan string, 100)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /base/api/v1/services/shop/verdict", func(w http.ResponseWriter, r *http.Request) {
		waits <- r.URL.Query().Get("wait")
		a := answers[min(int(n.Add(1)), len(answers))-1]
		if a.status == 0 { // as if Parallax were just restarting
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	})
	mux.HandleFunc("GET /base/api/v1/services/shop/report", func(w http.ResponseWriter, r *http.Request) {
		report := reports.Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "GET /orders", Compared: 7, Matched: 7}}}, reports.Verdict{Service: "shop", Alpha: 0.05})
		json.NewEncoder(w).Encode(report)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/base", func() []string {
		close(waits)
		var out []string
		for w := range waits {
			out = append(out, w)
		}
		return out
	}
}

func TestVerdictExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer answer
		want   int
		says   string // on stdout for a verdict, else on stderr
	}{
		{"promote", verdictOf(reports.Promote), 0, "shop: PROMOTE"},
		{"hold", verdictOf(reports.Hold), 3, "Nothing was compared yet."},
		{"rollback", verdictOf(reports.Rollback), 4, "shop: ROLLBACK"},
		{"unknown service", answer{404, `{"title":"Not Found","detail":"there is no service \"shop\"; there is web"}`}, 1, `404 Not Found: there is no service "shop"; there is web`},
		{"away", answer{503, `{"title":"the store is away"}`}, 1, "503 Service Unavailable: the store is away"},
		{"a page", answer{200, "<html>"}, 1, `cannot read the verdict on "shop"`},
		{"something else", answer{200, `{"ok":true}`}, 1, "is this the admin address of Parallax?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, _ := adminServer(t, c.answer)
			var stdout, stderr strings.Builder
			got := runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: &stderr}, []string{"--server", address, "--service", "shop"})
			if got != c.want {
				t.Errorf("exit code %d, want %d\n%s%s", got, c.want, stdout.String(), stderr.String())
			}
			out := stdout.String()
			if c.want == verdictError {
				out = stderr.String()
			}
			if !strings.Contains(out, c.says) {
				t.Errorf("output has no %q:\n%s", c.says, out)
			}
		})
	}
}

// TestVerdictOnAnotherCandidateHolds: in the exit code and in every form.
func TestVerdictOnAnotherCandidateHolds(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(reports.Verdict{Service: "shop", Decision: reports.Promote, Final: true, CandidateVersion: "2.0", Alpha: 0.05, Reasons: []reports.Reason{}})
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(text), "{", `{"of_tomorrow":1,`, 1)
	for _, c := range []struct {
		version, format string
		want            int
		says            []string
	}{
		{"2.0", "text", verdictPromote, []string{"PROMOTE"}},
		{"3.0", "text", verdictHold, []string{"HOLD", "on 2.0, not on 3.0"}},
		{"3.0", "markdown", verdictHold, []string{"on 2.0, not on 3.0"}},
		{"3.0", "junit", verdictHold, []string{"on 2.0, not on 3.0"}},
		{"3.0", "json", verdictHold, []string{`"verdict": "hold"`, `"final": false`, `"other_version"`, `"of_tomorrow": 1`}},
		{"2.0", "json", verdictPromote, []string{`"verdict": "promote"`, `"of_tomorrow": 1`}},
	} {
		address, _ := adminServer(t, answer{200, newer})
		var stdout, stderr strings.Builder
		got := runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: &stderr}, []string{"--server", address, "--service", "shop", "--candidate-version", c.version, "--format", c.format})
		if got != c.want {
			t.Errorf("%s as %s: exit code %d, want %d\n%s", c.version, c.format, got, c.want, stderr.String())
		}
		for _, part := range c.says {
			if !strings.Contains(stdout.String(), part) {
				t.Errorf("%s as %s has no %q:\n%s", c.version, c.format, part, stdout.String())
			}
		}
	}
}

func TestVerdictUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "--server"},
		{"--server http://127.0.0.1:1", "--service"},
		{"--server 127.0.0.1:7070 --service shop", "write it like http://"},
		{"--server ftp://127.0.0.1 --service shop", "write it like http://"},
		{"--server http://127.0.0.1:1 --service shop --format yaml", "there are text, json, markdown and junit"},
		{"--server http://127.0.0.1:1 --service shop --wait -1m", "30m"},
		{"--server http://127.0.0.1:1 --service shop now", `"now"`},
		{"--nonsense", "nonsense"},
	} {
		var stdout, stderr strings.Builder
		if got := runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: &stderr}, strings.Fields(c.args)); got != verdictUsage {
			t.Errorf("%q: exit code %d, want %d", c.args, got, verdictUsage)
		}
		if !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%q: output has no %q:\n%s", c.args, c.says, stderr.String())
		}
	}
	if got := runVerdict(t.Context(), env{getenv: noVariables, stdout: io.Discard, stderr: io.Discard}, []string{"--help"}); got != 0 {
		t.Errorf("--help: exit code %d", got)
	}
}

func TestVerdictWithoutServer(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	got := runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: &stderr}, []string{"--server", mirrortest.Refused(t), "--service", "shop", "--wait", "1h"})
	if got != verdictError || !strings.Contains(stderr.String(), "connection refused") {
		t.Errorf("exit code %d, said %q; want %d at once", got, stderr.String(), verdictError)
	}
}

func noVariables(string) string { return "" }

// query is a verdict query that does not pause between questions.
func query(t *testing.T, address string, wait time.Duration, stderr io.Writer) *verdictQuery {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &verdictQuery{admin: admin{server: u, service: "shop"}, wait: wait, format: "text", stderr: stderr}
}

func TestVerdictWaitsForADecision(t *testing.T) {
	t.Parallel()
	hold := verdictOf(reports.Hold)
	address, asked := adminServer(t, hold, hold, answer{}, answer{503, ""}, hold, verdictOf(reports.Promote))
	var stdout, stderr strings.Builder
	if got := query(t, address, time.Hour, &stderr).run(t.Context(), &stdout); got != verdictPromote {
		t.Errorf("exit code %d, want %d\n%s", got, verdictPromote, stderr.String())
	}
	got := asked()
	// A connection that broke is tried again by the client itself, or is not.
	if len(got) < 6 || len(got) > 7 {
		t.Errorf("asked %d times, want 6", len(got))
	}
	for n, wait := range got {
		if want := map[bool]string{true: "", false: "30s"}[n == 0]; wait != want {
			t.Errorf("question %d asked to wait for %q, want %q", n, wait, want)
		}
	}
	if said := stderr.String(); strings.Count(said, "parallax: hold") != 1 || strings.Contains(said, ".;") || !strings.Contains(said, "; 1h0m0s left\n") {
		t.Errorf("said %q while it waited, want once a minute what for", said)
	}
}

func TestVerdictEndsWithTheWait(t *testing.T) {
	t.Parallel()
	address, _ := adminServer(t, verdictOf(reports.Hold))
	if got := query(t, address, time.Millisecond, io.Discard).run(t.Context(), io.Discard); got != verdictHold {
		t.Errorf("exit code %d, want %d", got, verdictHold)
	}
}

func TestVerdictFormats(t *testing.T) {
	t.Parallel()
	for format, check := range map[string]func(string) error{
		"text":     func(s string) error { return contains(s, "shop: HOLD", "GET /orders") },
		"markdown": func(s string) error { return contains(s, "## shop: hold", "| GET /orders |") },
		"junit":    func(s string) error { return xml.Unmarshal([]byte(s), new(struct{ XMLName xml.Name })) },
		"json": func(s string) error {
			var v reports.Verdict
			err := json.Unmarshal([]byte(s), &v)
			if diff := cmp.Diff(reports.Hold, v.Decision); diff != "" {
				return fmt.Errorf("verdict (-want +got):\n%s", diff)
			}
			return err
		},
	} {
		address, _ := adminServer(t, verdictOf(reports.Hold))
		var stdout, stderr strings.Builder
		if got := runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: &stderr}, []string{"--server", address, "--service", "shop", "--format", format}); got != verdictHold {
			t.Errorf("%s: exit code %d, want %d\n%s", format, got, verdictHold, stderr.String())
		}
		if err := check(stdout.String()); err != nil {
			t.Errorf("%s: %v\n%s", format, err, stdout.String())
		}
	}
}

// A newer server may say more than this release knows; JSON passes it on.
func TestVerdictJSONIsTheServers(t *testing.T) {
	t.Parallel()
	address, _ := adminServer(t, answer{200, `{"verdict":"hold","later":[1]}`})
	var stdout strings.Builder
	runVerdict(t.Context(), env{getenv: noVariables, stdout: &stdout, stderr: io.Discard}, []string{"--server", address, "--service", "shop", "--format", "json"})
	if err := contains(stdout.String(), `"later"`); err != nil {
		t.Error(err)
	}
}

func contains(s string, parts ...string) error {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return fmt.Errorf("there is no %q", part)
		}
	}
	return nil
}
