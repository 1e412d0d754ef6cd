package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// pauseAnswer is what the API says of mirroring that is shared.
type pauseAnswer struct {
	Paused      bool
	Who, Reason string
	Shared      struct {
		Reached, Owed bool
		Mirrors       int
		Behind        []string
	}
}

// eachPauses waits until something holds of what all mirrors say of mirroring.
func (three *trio) eachPauses(t *testing.T, what string, holds func(pauseAnswer) bool) {
	t.Helper()
	rig.Eventually(t, what, func() error {
		for i, p := range three.mirrors {
			var s pauseAnswer
			if err := p.JSON("/api/v1/services/shop/mirroring", &s); err != nil {
				return err
			}
			if !holds(s) {
				return fmt.Errorf("mirror %d: %+v", i, s)
			}
		}
		return nil
	})
}

// TestMirroringIsPausedAtAllMirrors: a pause at one of them holds at all before it is answered,
// after a restart, and over the loss of all that Redis has. Without Redis it holds where it was
// begun, and is owed to the others; nobody resumes then.
func TestMirroringIsPausedAtAllMirrors(t *testing.T) {
	t.Parallel()
	three := newTrio(t)
	paused := func(s pauseAnswer) bool {
		return s.Paused && s.Reason == "too slow" && s.Shared.Reached && !s.Shared.Owed
	}
	going := func(s pauseAnswer) bool { return !s.Paused && s.Shared.Reached && len(s.Shared.Behind) == 0 }
	three.eachPauses(t, "mirrors that know of each other", func(s pauseAnswer) bool { return s.Shared.Mirrors == 2 })

	three.wants(t, 0, "POST", "mirroring:pause", `{"reason":"too slow"}`, http.StatusOK, `"paused":true`)
	for i, p := range three.mirrors { // at once
		var s pauseAnswer
		if err := p.JSON("/api/v1/services/shop/mirroring", &s); err != nil || !paused(s) {
			t.Errorf("mirror %d: %+v, %v", i, s, err)
		}
	}
	three.mirrors[1].Kill()
	three.mirrors[1] = rig.StartIn(t, three.dirs[1], three.config)
	three.eachPauses(t, "a pause after a restart", paused)

	three.wants(t, 2, "POST", "mirroring:resume", "{}", http.StatusOK, `"paused":false`)
	three.eachPauses(t, "mirroring that goes on", going)

	three.redis.Kill()
	three.eachPauses(t, "mirrors without Redis", func(s pauseAnswer) bool { return !s.Shared.Reached })
	three.wants(t, 1, "POST", "mirroring:pause", `{"reason":"too slow"}`, http.StatusOK, `"owed":true`)
	if status, text, err := three.ask(1, "POST", "mirroring:resume", "{}"); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(text, "redis_away") {
		t.Errorf("resuming without Redis: %d %s, %v", status, text, err)
	}
	three.redis.Start() // which has lost everything
	three.eachPauses(t, "a pause that was owed", paused)
	three.wants(t, 0, "POST", "mirroring:resume", "{}", http.StatusOK, `"paused":false`)
	three.eachPauses(t, "mirroring that goes on again", going)
}
