package main

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
	"parallax/ui"
)

// post sends a reason to a call of the API and wants it to succeed.
func post(t *testing.T, p *rig.Parallax, path, reason string) {
	t.Helper()
	ask(t, p, "POST", path, fmt.Sprintf(`{"reason":%q}`, reason), http.StatusOK)
}

// waitPaused waits until mirroring is paused by somebody, "" for nobody.
func waitPaused(t *testing.T, p *rig.Parallax, by string) {
	t.Helper()
	rig.Eventually(t, "mirroring is paused by "+by, func() error {
		var state ui.MirroringState
		if err := p.JSON("/api/v1/services/shop/mirroring", &state); err != nil {
			return err
		}
		if state.By != by || state.Paused != (by != "") {
			return fmt.Errorf("%+v", state)
		}
		return nil
	})
}

// pausedCount waits for n requests to be accounted for and returns how many were
// paused.
func pausedCount(t *testing.T, p *rig.Parallax, n int64) int64 {
	t.Helper()
	return settled(t, p, n).Accounting.Unmirrored["paused"]
}

func TestKillSwitch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "1.00"), backend(t, "1.00"), "")
	p := rig.StartIn(t, dir, config)
	const api = "/api/v1/services/shop/mirroring"
	call(t, p, "GET", "/orders/1", "", 200)
	if n := pausedCount(t, p, 1); n != 0 {
		t.Fatalf("%d requests were paused before anybody did", n)
	}

	post(t, p, api+":pause", "it pages people")
	call(t, p, "GET", "/orders/1", "", 200)
	if n := pausedCount(t, p, 2); n != 1 {
		t.Errorf("%d requests were paused, want the one after the pause", n)
	}
	rig.Eventually(t, "the verdict holds for the pause", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		for _, r := range v.Reasons {
			if r.Code == reports.MirroringPaused && r.Detail == "it pages people" && v.Decision == reports.Hold {
				return nil
			}
		}
		return errors.New(string(v.Decision))
	})
	p.Stop()

	p = rig.StartIn(t, dir, config)
	waitPaused(t, p, "person")
	post(t, p, api+":resume", "mended")
	waitPaused(t, p, "")

	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitPaused(t, p, "signal")
	call(t, p, "GET", "/orders/1", "", 200)
	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitPaused(t, p, "")
	p.Stop()

	p = rig.StartIn(t, dir, config)
	waitPaused(t, p, "") // a signal's pause does not outlive the process
}

// TestSignalPausesServicesThatAReloadAdds: what a signal has paused is the whole
// process, also what comes to it later.
func TestSignalPausesServicesThatAReloadAdds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, new := backend(t, "1.00"), backend(t, "1.00")
	p := rig.StartIn(t, dir, shopConfig(old, new, ""))
	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitPaused(t, p, "signal")
	rewrite(t, dir, shopConfig(old, new, fmt.Sprintf(`
- name: cart
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q] }
`, old, new)))
	reload(t, p, 200)
	var state ui.MirroringState
	if err := p.JSON("/api/v1/services/cart/mirroring", &state); err != nil || state.By != "signal" {
		t.Errorf("the service that was added is paused by %q, %v; want by the signal", state.By, err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitPaused(t, p, "")
	rig.Eventually(t, "the added service is mirrored", func() error {
		if err := p.JSON("/api/v1/services/cart/mirroring", &state); err != nil || state.Paused {
			return fmt.Errorf("%+v, %v", state, err)
		}
		return nil
	})
}
