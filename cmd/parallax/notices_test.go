package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"parallax/internal/notices"
	"parallax/internal/rig"
)

// TestPeopleAreTold of a new issue, of another verdict and of a rollback by a whole Parallax, once
// each, over a restart.
func TestPeopleAreTold(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var took []notices.Event
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m notices.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Service != "shop" && m.Service != "test" {
			t.Errorf("%v: %+v", err, m)
		}
		mu.Lock()
		defer mu.Unlock()
		if m.Service == "shop" {
			took = append(took, m.Events...)
		}
	}))
	t.Cleanup(hook.Close)
	told := func(kind notices.Kind) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range took {
			if e.Kind == kind {
				n++
			}
		}
		return n
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hook"), []byte(hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	primary, candidate := backend(t, "1.00"), backend(t, "2.00")
	config := "notify: [{ name: team, url_file: hook, min_interval: 0s }]\n" +
		shopConfig(primary, candidate, "  split: { key: \"header:X-User\", salt: s }\n  rules: [{ path: \"$.id\", ignore: true, reason: r, owner: o }]\n  promotion: { min_duration: 0s }\n")
	p := rig.StartIn(t, dir, config)
	rig.Eventually(t, "the receiver to be known", func() error {
		if !strings.Contains(p.Log(), "is told what happens from now on") {
			return fmt.Errorf("it is not yet")
		}
		return nil
	})
	for i := range 40 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	ask(t, p, "PUT", "/api/v1/services/shop/step", `{"step":500,"reason":"a test"}`, 200)
	eventually := func(kind notices.Kind) {
		t.Helper()
		rig.Eventually(t, "a notification of "+string(kind), func() error {
			if told(kind) == 0 {
				return fmt.Errorf("none yet")
			}
			return nil
		})
	}
	eventually(notices.VerdictChanged)
	eventually(notices.NewIssue)
	ask(t, p, "POST", "/api/v1/services/shop/rollback", `{"reason":"enough"}`, 200)
	eventually(notices.Rollback)
	p.Stop()

	before := told(notices.NewIssue)
	p = rig.StartIn(t, dir, strings.Replace(config, candidate, backend(t, `"2.00"`), 1)) // the type is another
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"notify", "-c", filepath.Join(dir, "parallax.yaml")}, os.Getenv, nil, &out, &errs); code != 0 || out.String() != "team took the message\n" {
		t.Errorf("parallax notify: %d %s%s", code, &out, &errs)
	}
	call(t, p, "GET", "/orders/1", "", 200)
	rig.Eventually(t, "what is new since", func() error {
		if told(notices.NewIssue) == before {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	seen := map[string]bool{}
	for _, e := range took {
		if e.Kind == notices.NewIssue && seen[e.Issue] {
			t.Errorf("told twice: %+v", e)
		}
		seen[e.Issue] = true
	}
	if !slices.ContainsFunc(took, func(e notices.Event) bool { return e.Kind == notices.NewIssue && e.Path == "$.price" }) {
		t.Errorf("told: %+v", took)
	}
}
