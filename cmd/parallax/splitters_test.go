package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/ui"
)

// edge is an HAProxy that answers with the step that it would split by.
func edge(t *testing.T) (proxy *rig.Proxy, url, push string) {
	t.Helper()
	dir, address := t.TempDir(), rig.FreeAddress(t)
	file := filepath.Join(dir, "split.map")
	if err := os.WriteFile(file, []byte("candidate 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy = rig.StartHAProxy(t, dir, fmt.Sprintf(`global
    stats socket %[1]s/admin.sock level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend f
    bind %[2]s
    http-request return status 200 content-type text/plain lf-string "%%[str(candidate),map_str_int(%[3]s,0)]"
`, dir, address, file), address)
	return proxy, "http://" + address, fmt.Sprintf("{ haproxy: { socket: %q, map: %q } }", filepath.Join(dir, "admin.sock"), file)
}

// answerOf asks a server and returns what it says.
func answerOf(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// stepDocument is what the API says about the step.
type stepDocument struct {
	Step      int
	Splitters []ui.SplitterStatus
}

// confirmed waits until the splitter of a service has confirmed a step.
func confirmed(t *testing.T, p *rig.Parallax, step int) {
	t.Helper()
	rig.Eventually(t, fmt.Sprintf("step %d outside", step), func() error {
		var got stepDocument
		if err := p.JSON("/api/v1/services/shop/step", &got); err != nil {
			return err
		}
		if len(got.Splitters) != 1 || got.Step != step || got.Splitters[0].State != "confirmed" || *got.Splitters[0].Step != step {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// TestTheStepIsPushedOutside: a step reaches an HAProxy, is there again after both
// were restarted, and a rollback is acknowledged once it is there too, or says that
// it is not. Callers who come through the built-in splitter stay on the primary.
func TestTheStepIsPushedOutside(t *testing.T) {
	t.Parallel()
	proxy, front, push := edge(t)
	legs := map[string]string{}
	for _, name := range []string{"primary", "candidate"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		legs[name] = s.URL
	}
	dir := t.TempDir()
	config := func(push string) string {
		return fmt.Sprintf(`admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  split: { push: [%s] }
`, legs["primary"], legs["candidate"], push)
	}
	p := rig.StartIn(t, dir, config(push))
	step := p.Admin + "/api/v1/services/shop/step"
	stands := func(want string) error {
		if _, got := answerOf(t, "GET", front, ""); got != want {
			return fmt.Errorf("step %s stands at HAProxy, want %s", got, want)
		}
		return nil
	}
	check := func(want string) {
		t.Helper()
		if err := stands(want); err != nil {
			t.Error(err)
		}
	}
	if code, text := answerOf(t, "PUT", step, `{"step":10000,"reason":"all of them"}`); code != 200 {
		t.Fatal(code, text)
	}
	confirmed(t, p, 10000)
	check("10000")
	if _, leg := answerOf(t, "GET", p.Services["shop"], ""); leg != "primary" {
		t.Errorf("who was split outside is answered by the %s", leg)
	}
	if _, text := answerOf(t, "GET", p.Admin+"/metrics", ""); !strings.Contains(text, `parallax_step_pushed{service="shop",splitter="haproxy"} 10000`) || !strings.Contains(text, `parallax_step_confirmed{service="shop",splitter="haproxy"} 1`) {
		t.Error("the step outside is not among the metrics")
	}

	if err := os.WriteFile(filepath.Join(dir, "parallax.yaml"), []byte(config("")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := answerOf(t, "POST", p.Admin+"/api/v1/reload", ""); !strings.Contains(text, "set the step to 0 first") {
		t.Errorf("users were moved between splitters: %d %s", code, text)
	}

	p.Stop()
	proxy.Kill()
	proxy.Start()
	check("10000")
	p = rig.StartIn(t, dir, config(push))
	confirmed(t, p, 10000)
	rollback := p.Admin + "/api/v1/services/shop/rollback"
	if code, text := answerOf(t, "POST", rollback, ""); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	check("0")

	proxy.Kill()
	if code, text := answerOf(t, "POST", rollback, ""); code != 202 || !strings.Contains(text, `"state":"away"`) {
		t.Errorf("a rollback that an HAProxy cannot confirm: %d %s", code, text)
	}
	var ready struct{ Dependencies []ui.Dependency }
	if err := p.JSON("/readyz", &ready); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(ready); !strings.Contains(text, "splitter shop/haproxy") {
		t.Errorf("readyz does not name the splitter: %s", text)
	}
	proxy.Start()
	confirmed(t, p, 0)
}
