package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/mirror/mirrortest"
	"parallax/reports"
)

// shopConfig is a service in front of two backends, with everything on port 0.
func shopConfig(primary, candidate, more string) string {
	return fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["GET /orders/{id}", "POST /orders", "GET /broken"]
%s`, primary, candidate, more)
}

// backend answers orders; the candidate's price is a cent lower.
func backend(t *testing.T, price string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"price":%s}`, r.PathValue("id"), price)
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// call sends a request through the service and wants a status.
func call(t *testing.T, p *rig.Parallax, method, target, body string, want int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.Services["shop"]+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s %s: %s %q, %v; want %d", method, target, answer.Status, text, err, want)
	}
	return string(text)
}

// settled waits until n exchanges were received and none is in flight, and
// returns the report.
func settled(t *testing.T, p *rig.Parallax, n int64) reports.Report {
	t.Helper()
	var r reports.Report
	rig.Eventually(t, "settling", func() error {
		r = reports.Report{}
		if err := p.JSON("/api/v1/services/shop/report", &r); err != nil {
			return err
		}
		if a := r.Accounting; a.Received != n || a.InFlight != 0 || a.Missing() != 0 {
			return fmt.Errorf("accounting %+v, want %d received and nothing in flight or missing", a, n)
		}
		return nil
	})
	return r
}

func endpoint(t *testing.T, r reports.Report, name string) reports.Endpoint {
	t.Helper()
	for _, e := range r.Endpoints {
		if e.Endpoint == name {
			return e
		}
	}
	t.Fatalf("the report has no endpoint %q: %+v", name, r.Endpoints)
	return reports.Endpoint{}
}

// TestWholePath takes requests from the caller to the verdict.
func TestWholePath(t *testing.T) {
	t.Parallel()
	p := rig.Start(t, shopConfig(backend(t, "9.99"), backend(t, "9.98"), "  mirror: { unsafe: never }\n"))
	for i := range 50 {
		if got := call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200); !strings.Contains(got, "9.99") {
			t.Fatalf("the caller got %q, which is not the primary's answer", got)
		}
	}
	call(t, p, "POST", "/orders", `{"sku":1}`, 201)
	call(t, p, "GET", "/broken", "", 500)

	r := settled(t, p, 52)
	want := divergence.Accounting{
		Received: 52, Unmirrored: map[string]int64{"unsafe": 1}, Lost: map[string]int64{},
		Compared: map[string]int64{"match": 0, "diverged": 50, "not_comparable": 1},
	}
	r.Accounting.At = nil
	if d := cmp.Diff(want, r.Accounting); d != "" {
		t.Errorf("accounting (-want +got)\n%s", d)
	}
	orders := endpoint(t, r, "GET /orders/{id}")
	if orders.Compared != 50 || orders.Diverged != 50 || orders.Rate != 1 || orders.StatusMatrix["200/200"] != 50 {
		t.Errorf("orders: %+v", orders)
	}
	if broken := endpoint(t, r, "GET /broken"); broken.NotComparableReasons["primary_failed"] != 1 {
		t.Errorf("broken: %+v", broken)
	}

	var v reports.Verdict
	rig.Eventually(t, "a rollback", func() error {
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil || v.Decision != reports.Rollback {
			return fmt.Errorf("verdict %q, %w", v.Decision, err)
		}
		return nil
	})
	if len(v.Reasons) == 0 || v.Reasons[0].Endpoint != "GET /orders/{id}" {
		t.Errorf("reasons %+v", v.Reasons)
	}
	var verdictText, verdictErr bytes.Buffer
	if code := runVerdict(t.Context(), env{getenv: noVariables, stdout: &verdictText, stderr: &verdictErr}, []string{"--server", p.Admin, "--service", "shop"}); code != 4 {
		t.Errorf("the verdict verb exits with %d\n%s%s", code, verdictText.String(), verdictErr.String())
	}

	var issues []divergence.Issue
	if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil || len(issues) != 1 || issues[0].Path != "$.price" {
		t.Errorf("issues %+v, %v", issues, err)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("parallax exits with %d", code)
	}
}

// TestStepSurvivesRestart moves users to the candidate and restarts.
func TestStepSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "1.00"), backend(t, "2.00"), "  split: { key: \"header:X-User\", salt: s, endpoints: [\"GET *\"] }\n")
	p := rig.StartIn(t, dir, config)
	put := func(body string, want int) string {
		t.Helper()
		return ask(t, p, "PUT", "/api/v1/services/shop/step", body, want)
	}
	answers := func(want string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", p.Services["shop"]+"/orders/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-User", "alice")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), want) {
			t.Fatalf("alice got %s, want the version that says %s", text, want)
		}
	}
	answers("1.00")
	put(`{"step":10001,"reason":"x"}`, 422)
	put(`{"step":10000,"reason":"a drill"}`, 200)
	answers("2.00")
	p.Stop()

	p = rig.StartIn(t, dir, config)
	answers("2.00")
	request, err := http.NewRequestWithContext(t.Context(), "POST", p.Admin+"/api/v1/services/shop/rollback", strings.NewReader(`{"reason":"enough"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("rollback: %v %v", answer, err)
	}
	answer.Body.Close()
	answers("1.00")
	p.Stop()

	if err := os.WriteFile(filepath.Join(dir, "parallax-state", "shop.json"), []byte(`{"step":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve", "-c", filepath.Join(dir, "parallax.yaml")}, os.Getenv, nil, &stdout, &stderr); code != exitError || !strings.Contains(stderr.String(), "do not guess") {
		t.Errorf("with an unreadable state: exit %d, %s", code, stderr.String())
	}
}

// TestStoreOutageHurtsNoCaller kills the engine under load, again and again: no
// caller notices, and every exchange is accounted for when it is back.
func TestStoreOutageHurtsNoCaller(t *testing.T) {
	t.Parallel()
	p := rig.Start(t, shopConfig(backend(t, "9.99"), backend(t, "9.99"), ""))
	call(t, p, "GET", "/orders/0", "", 200)
	settled(t, p, 1)

	const callers, each = 4, 150
	var wg sync.WaitGroup
	failed := make(chan error, callers*each)
	half := make(chan struct{}, callers)
	for range callers {
		wg.Go(func() {
			for i := range each {
				if i == each/2 {
					half <- struct{}{}
				}
				answer, err := http.Get(fmt.Sprintf("%s/orders/%d", p.Services["shop"], i))
				if err != nil {
					failed <- err
					continue
				}
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 {
					failed <- fmt.Errorf("%s: %w", answer.Status, err)
				}
			}
		})
	}
	<-half
	pid := engineChild(t, p.PID())
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("a caller noticed: %v", err)
	}
	r := settled(t, p, callers*each+1)
	if lost := len(r.Accounting.Lost); lost != 0 {
		t.Errorf("lost %v although the outage was short", r.Accounting.Lost)
	}
	if again := engineChild(t, p.PID()); again == pid {
		t.Errorf("the engine is still process %d", pid)
	}
}

// engineChild returns the process id of the engine, a child of the given process.
func engineChild(t *testing.T, parent int) (pid int) {
	t.Helper()
	rig.Eventually(t, "the engine's process", func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent))
		if err == nil {
			_, err = fmt.Sscan(string(text), &pid)
		}
		if err != nil {
			// Children belong to the thread that started them.
			pid, err = childOfAnyThread(parent)
		}
		return err
	})
	return pid
}

func childOfAnyThread(parent int) (int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		var pid int
		if err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(text), &pid); err == nil {
			return pid, nil
		}
	}
	return 0, errors.New("there is no child")
}

// TestNoSecretIsStored sends secrets in every place that credentials travel in,
// and looks for them in the data folder, the log, the metrics, the pages and what people are told.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	const canary = "c4n4ry"
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session="+canary+"-setcookie; Path=/")
		fmt.Fprintf(w, `{"password":"%s-answer-%s","leg":%q,"sent":%s}`, canary, r.Header.Get("X-Parallax-Leg"), r.Header.Get("X-Parallax-Leg"), body)
	}))
	t.Cleanup(echo.Close)
	var mu sync.Mutex
	var told string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		told += string(text)
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hook"), []byte(hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	p := rig.StartIn(t, dir, "notify: [{ name: team, url_file: hook, min_interval: 0s }, { name: chat, url_file: hook, format: slack, min_interval: 0s }]\n"+
		shopConfig(echo.URL, echo.URL, "  mirror: { unsafe: allowed }\n  redact: { paths: [\"$..email\"] }\n"))
	rig.Eventually(t, "the receivers to be known", func() error {
		if n := strings.Count(p.Log(), "is told what happens from now on"); n < 2 {
			return fmt.Errorf("%d of two", n)
		}
		return nil
	})
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), "POST", p.Services["shop"]+"/orders?access_token="+canary+"-query&page=2",
			strings.NewReader(`{"token":"`+canary+`-body","email":"`+canary+`@example.org","card":{"number":"4111111111111111"}}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+canary+"-bearer")
		request.Header.Set("Cookie", "sid="+canary+"-cookie; theme=dark")
		request.Header.Set("X-Api-Key", canary+"-key")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); !bytes.Contains(text, []byte(canary+"-body")) {
			t.Fatalf("the caller's own answer was touched: %s", text)
		}
		answer.Body.Close()
	}
	r := settled(t, p, 20)
	if r.Accounting.Compared["diverged"] != 20 {
		t.Fatalf("accounting %+v; the exchanges should diverge, so that they are stored", r.Accounting)
	}

	var exchanges []divergence.ExchangeSummary
	if err := jsonList(p, "/api/v1/services/shop/exchanges", "exchanges", &exchanges); err != nil || len(exchanges) != 20 {
		t.Fatalf("%d exchanges, %v", len(exchanges), err)
	}
	shown := []string{"/", "/metrics", "/readyz", "/api/v1/services/shop/report", "/api/v1/services/shop/issues", "/services/shop/issues",
		"/api/v1/services/shop/exchanges/" + exchanges[0].ID, "/services/shop/exchanges/" + exchanges[0].ID}
	kept := false
	for _, path := range shown {
		text := get(t, p.Admin+path)
		kept = kept || strings.Contains(text, "redacted:")
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("%s shows a secret: …%s…", path, text[max(i-80, 0):min(i+40, len(text))])
		}
		if strings.Contains(text, "4111111111111111") {
			t.Errorf("%s shows a card number", path)
		}
	}
	if !kept {
		t.Error("no page has a redacted value, so none was looked for where it would be")
	}
	rig.Eventually(t, "both receivers to be told of the new issue", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(told, `"new_issue"`) || !strings.Contains(told, `"blocks"`) {
			return fmt.Errorf("they took %s", told)
		}
		return nil
	})
	p.Stop()
	if strings.Contains(told, canary) {
		t.Error("a notification has a secret")
	}
	if strings.Contains(p.Log(), canary) {
		t.Error("the log has a secret")
	}
	searchFiles(t, dir, canary)
}

// searchFiles looks for a word in every file below dir. Columns are compressed
// on disk; that their values are redacted is seen through the API above.
func searchFiles(t *testing.T, dir, word string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("%s has a secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ask sends JSON to the admin API, wants a status, and returns the answer.
func ask(t *testing.T, p *rig.Parallax, method, path, body string, want int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.Admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s %s %s: %s %s (%v), want %d", method, path, body, answer.Status, text, err, want)
	}
	return string(text)
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("GET %s: %s, %v", url, answer.Status, err)
	}
	return string(text)
}

// jsonList reads a list that the API wraps in an object.
func jsonList[T any](p *rig.Parallax, path, key string, list *[]T) error {
	var wrapped map[string]any
	if err := p.JSON(path, &wrapped); err != nil {
		return err
	}
	var typed map[string][]T
	if err := p.JSON(path, &typed); err != nil {
		return fmt.Errorf("%w; the answer is %v", err, wrapped)
	}
	*list = typed[key]
	return nil
}

// TestPrimaryDownIsSaidSo has nobody behind the primary's address.
func TestPrimaryDownIsSaidSo(t *testing.T) {
	t.Parallel()
	p := rig.Start(t, shopConfig(mirrortest.Refused(t), backend(t, "1"), ""))
	if text := call(t, p, "GET", "/orders/1", "", http.StatusBadGateway); !strings.Contains(text, "gave no answer") {
		t.Errorf("the caller is told %q", text)
	}
	r := settled(t, p, 1)
	if a := r.Accounting; a.Compared["diverged"] != 0 {
		t.Errorf("a primary that is down is held against the candidate: %+v", a)
	}
}

// TestServeInProcess runs the wiring inside the test, where the race detector
// sees it, and shuts it down with traffic on the way.
func TestServeInProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg, faults := parseConfig(filepath.Join(dir, "parallax.yaml"), []byte(shopConfig(backend(t, "9.99"), backend(t, "9.98"), "")))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s, err := newServer(cfg, testLog(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := background(func(context.Context) error { return s.Run(ctx) })
	url := "http://" + s.current.Load().services[0].listener.Addr().String()
	for i := range 100 {
		answer, err := http.Get(fmt.Sprintf("%s/orders/%d", url, i))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	// A shutdown waits for a store that is slow to start, but not for long.
	rig.Eventually(t, "a store that takes batches", func() error { return s.recorder.Err() })
	cancel()
	if err := running.wait(); err != nil {
		t.Fatal(err)
	}
	a := s.ledger.Totals("shop")
	if a.Received != 100 || a.InFlight != 0 || a.Missing() != 0 || a.Lost["shutdown"] > 0 {
		t.Errorf("after a clean stop: %+v", a)
	}
}
