package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parallax/cmd/parallax/internal/demo"
	"parallax/divergence"
)

// TestDemoOfTheShop: what is planted is found with both values, nothing else is
// reported, and the exit code says so.
func TestDemoOfTheShop(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a demo")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for _, each := range []string{dir, filepath.Dir(dir)} { // the user postgres passes through both
		if err := os.Chmod(each, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"demo", "--shop", "--for", "5s", "--exit", "--json", "--listen", freeAddress(t), "--defect", "rounding,double-mail"},
		os.Getenv, strings.NewReader(""), &stdout, &stderr)
	if code != exitGood {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	var r demo.ShopResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Found) != 2 || len(r.Others) != 0 {
		t.Fatalf("found %+v, others %+v", r.Found, r.Others)
	}
	for _, p := range r.Found {
		for _, i := range p.Issues {
			if !slices.Contains(p.Places, i.Path) || i.Kind != p.Kind || i.Candidate == "" || i.Kind == "changed" && i.Primary == "" {
				t.Errorf("%s was found as %+v", p.Defect.Name, i)
			}
		}
	}
	if r.Mails != r.Paid || r.Mails == 0 {
		t.Errorf("%d orders were paid for, and %d mails left", r.Paid, r.Mails)
	}
	for _, want := range []string{"effects:mails", "effects:sent_mails"} {
		if !slices.ContainsFunc(r.Found[1].Issues, func(i divergence.Issue) bool { return i.Path == want && i.Kind == "extra" }) {
			t.Errorf("the double mail is no issue of its own at %s", want)
		}
	}
	if got, want := r.Found[1].Counts, "of such the primary sent 1, the candidate 2"; got != want {
		t.Errorf("the double mail says %q, want %q", got, want)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
