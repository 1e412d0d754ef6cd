package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replayCase writes a configuration and a recording, and returns a function that
// runs the verb.
func replayCase(t *testing.T, primary, candidate, more string) (dir string, replay func(args ...string) (code int, stdout, stderr string)) {
	t.Helper()
	dir = t.TempDir()
	config := filepath.Join(dir, "parallax.yaml")
	text := shopConfig(primary, candidate, more)
	write(t, config, text)
	return dir, func(args ...string) (int, string, string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"replay", "-c", config, "--service", "shop", "--rate", "max"}, args...), os.Getenv, strings.NewReader(""), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReplayReportsWhatDiffers replays a recording to two versions, and what was
// kept of that once more.
func TestReplayReportsWhatDiffers(t *testing.T) {
	t.Parallel()
	dir, replay := replayCase(t, backend(t, "9.99"), backend(t, "9.98"), "  mirror: { unsafe: allowed }\n")
	var recording strings.Builder
	for i := range 20 {
		fmt.Fprintf(&recording, `{"time":"2026-11-21T10:00:%02dZ","method":"GET","target":"/orders/%d"}`+"\n", i, i)
	}
	recording.WriteString(`{"method":"POST","target":"/orders","headers":{"Content-Type":"application/json"},"body":"{}"}` + "\nnonsense\n")
	write(t, filepath.Join(dir, "r.jsonl"), recording.String())

	code, stdout, stderr := replay("--from", filepath.Join(dir, "r.jsonl"), "--dir", filepath.Join(dir, "parallax-kept"))
	for _, want := range []string{"22 requests read, 21 replayed, 1 skipped: malformed", "GET /orders/{id}", "unsafe 1"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in the report:\n%s%s", want, stdout, stderr)
		}
	}
	if code != exitNot || !strings.Contains(stderr, "skipped (malformed): r.jsonl:22: cannot read it as JSON") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if err := os.Rename(filepath.Join(dir, "parallax-kept", "data"), filepath.Join(dir, "parallax-data")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = replay("--from", "store", "--limit", "5")
	if code != exitNot || !strings.Contains(stdout, "5 requests read, 5 replayed") {
		t.Errorf("from the store: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// TestReplayOfNothing says so, and not that the store is away, which nobody asked yet.
func TestReplayOfNothing(t *testing.T) {
	t.Parallel()
	dir, replay := replayCase(t, backend(t, "9.99"), backend(t, "9.98"), "")
	write(t, filepath.Join(dir, "r.jsonl"), "nonsense\n")
	code, stdout, _ := replay("--from", filepath.Join(dir, "r.jsonl"))
	if want := "1 requests read, 0 replayed, 1 skipped: malformed; nothing was replayed, so that there is nothing to report\n"; code != exitNot || stdout != want {
		t.Errorf("exit code %d\n%s\nwant %s", code, stdout, want)
	}
}

func TestReplayFromTheStoreRewritesNothingTwice(t *testing.T) {
	t.Parallel()
	dir, replay := replayCase(t, "http://127.0.0.1:1", "http://127.0.0.1:2", "")
	config := filepath.Join(dir, "parallax.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, strings.Replace(string(text), `1"] }`, `1"], rewrite: [{ path: "^/api", to: "/v1" }] }`, 1))
	if code, _, stderr := replay("--from", "store"); code != exitError || !strings.Contains(stderr, "primary.rewrite") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestReplayOfEqualVersions(t *testing.T) {
	t.Parallel()
	same := backend(t, "9.99")
	dir, replay := replayCase(t, same, backend(t, "9.99"), "")
	write(t, filepath.Join(dir, "access.log"), `192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /orders/1 HTTP/1.1" 200 5 "-" "curl"
192.0.2.7 - - [21/Nov/2026:10:00:01 +0000] "DELETE /orders/1 HTTP/1.1" 204 0 "-" "curl"
192.0.2.7 - - [21/Nov/2026:10:00:02 +0000] "GET /orders/2 HTTP/1.1" 200 5 "-" "curl"
`)
	code, stdout, stderr := replay("--from", filepath.Join(dir, "access.log"), "--since", "2026-11-21T10:00:01Z")
	if code != exitGood || !strings.Contains(stdout, "3 requests read, 1 replayed, 1 skipped: no_body, 1 skipped: outside") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "parallax-data")); !os.IsNotExist(err) {
		t.Errorf("the service's own store was touched: %v", err)
	}
}
