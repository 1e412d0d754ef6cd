package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/internal/rig"
	"parallax/ui"
)

// TestMissedWritesAreCaughtUpAfterARestart: what the candidate misses during a pause
// waits on disk, encrypted, over the end of the process, and reaches it in order.
func TestMissedWritesAreCaughtUpAfterARestart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var taken []string
	candidate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, string(body))
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(candidate.Close)
	dir, config := t.TempDir(), shopConfig(backend(t, "1.00"), candidate.URL, "  mirror: { unsafe: allowed }\n")
	const api = "/api/v1/services/shop"
	waiting := func(p *rig.Parallax, want int) {
		t.Helper()
		rig.Eventually(t, fmt.Sprintf("%d writes wait", want), func() error {
			var answer struct {
				Services []struct {
					Legs []ui.LegStatus `json:"legs"`
				} `json:"services"`
			}
			if err := p.JSON("/api/v1/services", &answer); err != nil {
				return err
			}
			got := 0
			for _, l := range answer.Services[0].Legs {
				if l.Missed != nil {
					got += l.Missed.Waiting
				}
			}
			if got != want {
				return fmt.Errorf("%d wait", got)
			}
			return nil
		})
	}
	p := rig.StartIn(t, dir, config)
	post(t, p, api+"/mirroring:pause", "the candidate is deployed")
	want := []string{"first", "second", "third"}
	for _, body := range want {
		call(t, p, "POST", "/orders", body, 201)
	}
	waiting(p, 3)
	p.Stop()
	p = rig.StartIn(t, dir, config)
	waiting(p, 3)
	post(t, p, api+"/mirroring:resume", "it is there")
	waiting(p, 0)
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, taken); diff != "" {
		t.Errorf("the candidate took (-want +got)\n%s", diff)
	}
}
