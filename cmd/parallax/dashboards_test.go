package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax/internal/rig"
)

const (
	promFolder    = "../../deploy/prometheus/"
	grafanaFolder = "../../deploy/grafana/dashboards/"
)

// dashboard is what is read of Grafana's format.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		Title, Type, Description string
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct{ Expr, RawSQL string }
	}
}

func dashboards(t testing.TB) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(grafanaFolder + "*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// alertRules are the expressions of the alerts, by name.
func alertRules(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(promFolder + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			out[r.Alert] = r.Expr
		}
	}
	return out
}

// TestAlerts: promtool takes the rules, each fires in the case that is made for it and is silent
// in another.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool here; scripts/setup-test.sh installs it")
	}
	for _, args := range [][]string{{"check", "config", "--syntax-only", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = promFolder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	cases, err := os.ReadFile(promFolder + "alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name := range alertRules(t) {
		for _, how := range []string{"fires", "is silent"} {
			if !strings.Contains(string(cases), "name: "+name+" "+how) {
				t.Errorf("alerts_test.yml has no case in which %s %s", name, how)
			}
		}
	}
}

// TestPanels: each has a title, a unit and a sentence on what it shows, and dashboards keep their
// ids, by which people have linked to them.
func TestPanels(t *testing.T) {
	t.Parallel()
	for file, d := range dashboards(t) {
		if want := "parallax-" + strings.TrimSuffix(file, ".json"); d.UID != want || d.Title == "" {
			t.Errorf("%s has the uid %q and the title %q, want %q", file, d.UID, d.Title, want)
		}
		for _, p := range d.Panels {
			if p.Title == "" || p.Type != "row" && (p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0) {
				t.Errorf("%s: the panel %q lacks a title, a unit, a description or a query", file, p.Title)
			}
		}
	}
}

var (
	metricName = regexp.MustCompile(`\bparallax_[a-z_]+`)
	labelled   = regexp.MustCompile(`\b(parallax_[a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*[=!]`)
)

// observed is a Parallax under traffic: users on both versions, divergences, failures that the
// net covers.
func observed(t *testing.T) (p *rig.Parallax, store string) {
	t.Helper()
	var n atomic.Int64
	leg := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "candidate" && r.URL.Path == "/prices" && n.Add(1)%5 == 0 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":1,"by":%q}`, name)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	store = rig.FreeAddress(t)
	return rig.Start(t, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: { listen: %q }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  endpoints: ["GET /prices", "GET /orders/{id}"]
  mirror: { order_by: "header:X-User" }
  net: { wait: 1s, statuses: [502] }
  split: { key: "header:X-User", salt: orders }
`, store, leg("primary"), leg("candidate"))), store
}

// TestEveryQueryHasData: a real Prometheus scrapes a real Parallax, and every expression of every
// dashboard has an answer; what the alerts name is exported, with those labels. The queries of
// the dashboard on ClickHouse have rows in the real engine.
func TestEveryQueryHasData(t *testing.T) {
	t.Parallel()
	p, store := observed(t)
	rig.Eventually(t, "a store that takes the step into its history", func() error {
		var report struct{}
		return p.JSON("/api/v1/services/shop/report", &report)
	})
	putStep(t, p, 5000)
	prom := rig.StartPrometheus(t, fmt.Sprintf(`
global: { scrape_interval: 500ms }
scrape_configs:
- job_name: parallax
  static_configs: [{ targets: [%q] }]
`, strings.TrimPrefix(p.Admin, "http://")))
	stop := make(chan struct{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			request, _ := http.NewRequest(http.MethodGet, p.Services["shop"]+[]string{"/prices", "/orders/7"}[i%2], nil)
			request.Header.Set("X-User", fmt.Sprint(i%50))
			if answer, err := http.DefaultClient.Do(request); err == nil {
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			time.Sleep(2 * time.Millisecond) // a pace, not a wait
		}
	}()
	defer func() { close(stop); <-asked }()

	settings := strings.NewReplacer("$__rate_interval", "10s", "$service", "shop", "$endpoint", "GET /prices")
	for file, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for _, q := range panel.Targets {
				rig.Eventually(t, fmt.Sprintf("%s, %s: an answer to %s%s", file, panel.Title, q.Expr, q.RawSQL), func() error {
					return answered(prom, store, settings.Replace(q.Expr), q.RawSQL)
				})
			}
		}
	}
	exportsWhatTheyName(t, p)
}

// answered says why a query of a panel has no data, if it has none.
func answered(prom *rig.Prometheus, store, expr, sql string) error {
	if expr != "" {
		n, err := prom.Query(expr)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s has no data", expr)
		}
		return err
	}
	sql = strings.ReplaceAll(sql, "${service}", "shop")
	sql = regexp.MustCompile(`\$__timeFilter\((\w+)\)`).ReplaceAllString(sql, "$1 >= now() - INTERVAL 1 HOUR")
	answer, err := http.Get("http://" + store + "/?database=parallax&query=" + url.QueryEscape(sql+" FORMAT TabSeparated"))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.300s, %v", answer.Status, text, err)
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return fmt.Errorf("no rows for %s", sql)
	}
	return nil
}

// onlyWith are the metrics that are exported where something is configured that the test has not,
// with their labels.
var onlyWith = map[string]string{
	"parallax_step_confirmed":           "service splitter",
	"parallax_effects_lag_seconds":      "service leg",
	"parallax_missed_writes_total":      "service leg result",
	"parallax_store_dropped_rows_total": "table",
	"parallax_lost_total":               "service reason",
	"parallax_unmirrored_total":         "service reason",
	"parallax_uncovered_total":          "service reason",
}

// exportsWhatTheyName compares what expressions name with what a process exports.
func exportsWhatTheyName(t *testing.T, p *rig.Parallax) {
	t.Helper()
	answer, err := http.Get(p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]string{}
	for name, labels := range onlyWith {
		exported[name] = labels
	}
	for _, m := range regexp.MustCompile(`(?m)^(parallax_[a-z_]+)(?:\{(.*)\})? `).FindAllStringSubmatch(string(text), -1) {
		exported[m[1]] += " " + strings.Join(labelsOf(m[2]), " ")
	}
	var all []string
	for _, expr := range alertRules(t) {
		all = append(all, expr)
	}
	for _, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for _, q := range panel.Targets {
				all = append(all, q.Expr)
			}
		}
	}
	for _, expr := range all {
		for _, name := range metricName.FindAllString(expr, -1) {
			if _, ok := exported[name]; !ok {
				t.Errorf("nothing exports %s, which is named in %s", name, expr)
			}
		}
		for _, m := range labelled.FindAllStringSubmatch(expr, -1) {
			for _, label := range labelsOf(m[2]) {
				if !strings.Contains(" "+exported[m[1]]+" ", " "+label+" ") {
					t.Errorf("%s has no label %s: %s", m[1], label, expr)
				}
			}
		}
	}
}

func labelsOf(text string) (out []string) {
	for _, m := range labelName.FindAllStringSubmatch(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(text, `""`), -1) {
		out = append(out, m[1])
	}
	return out
}

// putStep moves users by the API.
func putStep(t *testing.T, p *rig.Parallax, step int) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPut, p.Admin+"/api/v1/services/shop/step", strings.NewReader(fmt.Sprintf(`{"step":%d,"reason":"a test"}`, step)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("the step: %s: %s", answer.Status, text)
	}
}
