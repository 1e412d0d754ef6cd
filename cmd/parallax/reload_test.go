package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/ui"
)

// rewrite puts another configuration into the file of a running Parallax.
func rewrite(t *testing.T, dir, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "parallax.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload asks for a reload and wants a status.
func reload(t *testing.T, p *rig.Parallax, want int) (out ui.Reload) {
	t.Helper()
	answer, err := http.Post(p.Admin+"/api/v1/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("reload: %s %s, %v; want %d", answer.Status, text, err, want)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReloadPutsTheFileInForce changes, adds, moves and removes services.
func TestReloadPutsTheFileInForce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, new := backend(t, "1.00"), backend(t, "2.00")
	p := rig.StartIn(t, dir, shopConfig(old, new, ""))
	before := p.Services["shop"]
	call(t, p, "GET", "/orders/1", "", 200)
	if r := reload(t, p, 200); len(r.Changes) != 0 {
		t.Errorf("the same file changed %q", r.Changes)
	}

	// A rule, another primary, a second service and another port.
	rewrite(t, dir, strings.Replace(shopConfig(new, new, "  rules: [{ path: \"$.price\", ignore: true, reason: r, owner: o }]\n"), "127.0.0.1:0\"\n  primary", "localhost:0\"\n  primary", 1)+fmt.Sprintf(`
- name: cart
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
`, old))
	changes := strings.Join(reload(t, p, 200).Changes, "\n")
	for _, want := range []string{"service shop: listen, primary.urls, rules", "service cart: added, on 127.0.0.1:"} {
		if !strings.Contains(changes, want) {
			t.Errorf("changes\n%s\nlack %q", changes, want)
		}
	}
	p.Services["shop"] = "http://" + regexp.MustCompile(`service shop: callers are accepted on (\S+)`).FindStringSubmatch(changes)[1]
	cart := regexp.MustCompile(`service cart: added, on (\S+)`).FindStringSubmatch(changes)[1]
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "2.00") {
		t.Errorf("the old primary answers: %s", got)
	}
	if answer, err := http.Get("http://" + cart + "/orders/1"); err != nil || answer.StatusCode != 200 {
		t.Errorf("the new service: %v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
	refused(t, strings.TrimPrefix(before, "http://"))
	settled(t, p, 2)

	// Without the second service.
	rewrite(t, dir, shopConfig(new, new, ""))
	reload(t, p, 200)
	refused(t, cart)
	var list struct{ Services []struct{ Name string } }
	if err := p.JSON("/api/v1/services", &list); err != nil || len(list.Services) != 1 {
		t.Errorf("services %+v, %v", list, err)
	}
	rig.Eventually(t, "cart's leaving", func() error {
		if !strings.Contains(p.Log(), `msg="a service has left" service=cart`) {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	if code := p.Stop(); code != 0 {
		t.Errorf("parallax exits with %d", code)
	}
}

// refused waits until nobody listens on an address.
func refused(t *testing.T, address string) {
	t.Helper()
	rig.Eventually(t, address+" being refused", func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil
		}
		conn.Close()
		return fmt.Errorf("it is accepted")
	})
}

// TestReloadSaysThatUsersMove changes the salt before, at and after a step.
func TestReloadSaysThatUsersMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	back := backend(t, "1.00")
	salted := func(salt string) string {
		return shopConfig(back, back, fmt.Sprintf("  split: { key: \"header:X-User\", salt: %s }\n", salt))
	}
	p := rig.StartIn(t, dir, salted("first"))
	for salt, step := range map[string]int{"second": 0, "third": 500, "fourth": 10000} {
		if status := put(t, p, step); status != 200 {
			t.Fatalf("PUT step: %d", status)
		}
		rewrite(t, dir, salted(salt))
		changes := strings.Join(reload(t, p, 200).Changes, "\n")
		if got := strings.Contains(changes, "other users than before"); got != (step == 500) || !strings.Contains(changes, "split.salt") {
			t.Errorf("at step %d the reload says %q", step, changes)
		}
	}
}

// TestReloadRefusesABadFile wants every fault at once, in the answer, the log and
// the list of services, and everything else as it was.
func TestReloadRefusesABadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := backend(t, "1.00")
	good := shopConfig(old, old, "")
	p := rig.StartIn(t, dir, good)
	for name, c := range map[string]struct {
		config string
		faults []string
	}{
		"nonsense":        {strings.Replace(good, "state: own", "state: odd, colour: red", 1), []string{"state", "colour"}},
		"needs a restart": {"store: { dir: elsewhere }\nkeys: other\n" + good, []string{"store.dir is another", "keys is another"}},
		"taken":           {strings.Replace(good, "127.0.0.1:0\"\n  primary", strings.TrimPrefix(p.Admin, "http://")+"\"\n  primary", 1), []string{"address already in use"}},
	} {
		rewrite(t, dir, c.config)
		faults := strings.Join(reload(t, p, 422).Faults, "\n")
		var list struct{ Reload ui.Reload }
		if err := p.JSON("/api/v1/services", &list); err != nil || strings.Join(list.Reload.Faults, "\n") != faults {
			t.Errorf("%s: the list of services says %q, %v", name, list.Reload.Faults, err)
		}
		for _, want := range c.faults {
			if !strings.Contains(faults, want) {
				t.Errorf("%s: faults\n%s\nlack %q", name, faults, want)
			}
		}
	}
	call(t, p, "GET", "/orders/1", "", 200)
	if got := strings.Count(p.Log(), "the configuration was not reloaded"); got != 3 {
		t.Errorf("%d lines in the log, want one for each", got)
	}
	rewrite(t, dir, good)
	reload(t, p, 200)
}
