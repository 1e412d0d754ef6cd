package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/cmd/parallax/internal/demo"
	"parallax/divergence"
)

// The demo with everything real: two releases of go-httpbin from the module
// proxy, the engine, and the configuration a reader of demo.yaml would start
// from.
func TestDemoWithEverythingReal(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("installs two releases of go-httpbin")
	}
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"demo", "--for", "4s", "--rate", "80", "--exit", "--json", "--no-open", "--dir", dir, "--listen", freeAddress(t)},
		os.Getenv, strings.NewReader(""), &stdout, &stderr)
	if code != exitGood {
		log, _ := os.ReadFile(filepath.Join(dir, "parallax.log"))
		t.Fatalf("exit code %d\n%s\n%s\n%s", code, stdout.String(), stderr.String(), log)
	}
	var result demo.Result
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	if a := result.Report.Accounting; a.Received != result.Callers.Sent || a.Missing() != 0 || a.InFlight != 0 || len(a.Unmirrored) != 0 {
		t.Errorf("callers sent %d requests; accounting %+v", result.Callers.Sent, a)
	}
	if got, want := len(result.Report.Endpoints), len(demo.Corpus()); got != want {
		t.Errorf("%d endpoints in the report, want the %d of the corpus", got, want)
	}
	mustFind(t, result.Issues, "GET /version", "status", func(i divergence.Issue) bool {
		return i.Count > 0 && i.Primary == "404" && i.Candidate == "200"
	})
	mustFind(t, result.Issues, "GET /json", "header:content-type", func(i divergence.Issue) bool {
		return i.Count > 0 && i.Primary == "application/json; encoding=utf-8" && i.Candidate == "application/json; charset=utf-8"
	})
	mustFind(t, result.Issues, "GET /uuid", "$.uuid", func(i divergence.Issue) bool { return i.Count == 0 && i.Suppressed > 0 })
	for _, e := range result.Report.Endpoints {
		if e.Endpoint == "GET /uuid" && (e.Diverged != 0 || e.Noise != e.Compared || e.Ruled != e.Compared) {
			t.Errorf("random values and a rule: %+v", e.EndpointStats)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func mustFind(t *testing.T, issues []divergence.Issue, endpoint, path string, as func(divergence.Issue) bool) {
	t.Helper()
	for _, i := range issues {
		if i.Endpoint == endpoint && i.Path == path && as(i) {
			return
		}
	}
	t.Errorf("no such issue at %s of %s", path, endpoint)
}

func TestDemoUsage(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		code := run(t.Context(), append([]string{"demo"}, args...), func(string) string { return "" }, strings.NewReader(""), &bytes.Buffer{}, &stderr)
		if code != exitError || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit code %d and %q, want %d and %q", code, stderr.String(), exitError, want)
		}
	}
	f("usage: parallax demo", "now")
	f("cannot send 0 requests a second", "--rate", "0")
	f("cannot find a cache folder", "--dir", t.TempDir())
	f("cannot plant \"tardy\"", "--shop", "--defect", "tardy")
}
