package mirror_test

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestShadowGoroutinesStayButNotAll: after a burst a bounded number of goroutines
// waits for shadow requests, which the next ones go to, and none after the end. It
// runs alone: it counts goroutines.
func TestShadowGoroutinesStayButNotAll(t *testing.T) {
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`{}`)))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	const burst, stay = 100, 64
	var callers sync.WaitGroup
	for range burst {
		callers.Go(func() {
			res, err := r.Client.Get(r.URL + "/orders/17")
			if err != nil {
				t.Errorf("a caller got no answer: %v", err)
				return
			}
			if res.Body.Close(); res.StatusCode != http.StatusOK {
				t.Errorf("a caller got %d", res.StatusCode)
			}
		})
	}
	callers.Wait()
	waitFor(t, "every request to wait for the candidate", func() bool { return inCrews() == burst })
	close(release)
	waitFor(t, "those that are too many to end", func() bool { return inCrews() == stay })
	r.do("GET", "/orders/17", "")
	r.settled(burst + 1)
	if n := inCrews(); n > stay {
		t.Errorf("%d goroutines after one more request, want at most %d", n, stay)
	}
	r.Stop()
	waitFor(t, "all to end", func() bool { return inCrews() == 0 })
}

// inCrews counts the goroutines that ask shadow legs, or wait to.
func inCrews() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "mirror.(*crew).work(")
}
