package openapi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"parallax/mirror/openapi"
)

// TestDocuments reads the cases of testdata: a document api.yaml or api.json with
// what it refers to, and either want or faults.
func TestDocuments(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			dir, files := unpack(t, file)
			document := "api.yaml"
			if files["api.json"] != "" {
				document = "api.json"
			}
			got, err := openapi.Endpoints(filepath.Join(dir, document))
			if want := files["faults"]; want != "" {
				if err == nil {
					t.Fatalf("no fault, but endpoints %q", got)
				}
				text := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
				for line := range strings.Lines(want) {
					if !strings.Contains(text, strings.TrimSpace(line)) {
						t.Errorf("%q is not among the faults:\n%s", line, text)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(files["want"]), "\n"), got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

// unpack writes the files of an archive into a folder.
func unpack(t *testing.T, archive string) (dir string, files map[string]string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir, files = t.TempDir(), map[string]string{}
	for _, f := range a.Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(f.Data)
	}
	return dir, files
}

func TestBounds(t *testing.T) {
	t.Parallel()
	f := func(name, want string) {
		t.Helper()
		if _, err := openapi.Endpoints(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, openapi.MaxFile+1); err != nil {
		t.Fatal(err)
	}
	f(big, "more than")
	f(dir, "is not a file")
	f(filepath.Join(dir, "none.yaml"), "no such file")
}
