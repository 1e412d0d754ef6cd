package ui

import (
	"net/http"
	"strings"
	"testing"
)

// TestReloadSaysWhatIsWrong looks for the faults where programs and people do.
func TestReloadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	schemas := loadSchemas(t)
	reloads := &fakeReloads{faults: []string{"services[0].listen: no address", "store: needs a restart"}}
	r := newRig(t, func(c *Config) { c.Reloads = reloads })
	for _, page := range []string{"/", "/api/v1/services"} {
		if got := r.call("GET", page, "").Body.String(); strings.Contains(got, "reload") {
			t.Errorf("%s speaks of a reload before there was one", page)
		}
	}
	answer := r.call("POST", "/api/v1/reload", "")
	if answer.Code != http.StatusUnprocessableEntity {
		t.Errorf("got %d %s", answer.Code, answer.Body)
	}
	schemas.check(t, "Problem", answer.Body.Bytes())
	schemas.check(t, "Services", r.call("GET", "/api/v1/services", "").Body.Bytes())
	for _, page := range []string{"/", "/services/shop", "/api/v1/services"} {
		got := r.call("GET", page, "").Body.String()
		for _, fault := range reloads.faults {
			if !strings.Contains(got, fault) {
				t.Errorf("%s does not say %q", page, fault)
			}
		}
	}
	if got := newRig(t, func(c *Config) { c.Reloads = nil }).call("POST", "/api/v1/reload", "").Code; got != http.StatusNotImplemented {
		t.Errorf("without a reloader: %d", got)
	}
}

// TestServicesComeAndGo puts other services in place of those there were.
func TestServicesComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cart := r.Services()[0]
	cart.Name = "cart"
	if err := r.SetServices([]Service{cart}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/api/v1/services/cart/step": 200, "/api/v1/services/shop/step": 404, "/services/cart": 200} {
		if got := r.call("GET", path, "").Code; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if err := r.SetServices([]Service{cart, cart}); err == nil || len(r.Services()) != 1 {
		t.Errorf("a name twice: %v, and %d services", err, len(r.Services()))
	}
}
