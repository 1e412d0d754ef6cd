package reports

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStateOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	f, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(State{}, f.State()); diff != "" {
		t.Errorf("the first state (-want +got):\n%s", diff)
	}
	want := State{Step: 500, Who: "ada", Reason: "looks good", At: noon, Latch: &Latch{At: noon, Reasons: []Reason{{Code: DivergenceRate, Endpoint: "GET /a", N: 3, K: 3}}}}
	if err := f.Update(func(s *State) { *s = want }); err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]State{"in memory": f.State(), "read again": again.State()} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("files left: %v", names)
	}
}

func TestStateThatMakesNoSenseIsNotStepZero(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "cut": `{"step":50`, "other": `{"step":500,"lane":1}`, "more": `{"step":500}{"step":0}`, "range": `{"step":10001}`, "negative": `{"step":-1}`, "text": `{"step":"500"}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "shop.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenState(dir, "shop")
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names %s", name, err, path)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "shop.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir, "shop"); err == nil {
		t.Error("a directory in the file's place was taken for no file")
	}
}

func TestStateStaysWhatItWasWhenItCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Update(func(s *State) { s.Step = 100 }); err != nil {
		t.Fatal(err)
	}
	if err := f.Update(func(s *State) { s.Step = 10_001 }); err == nil {
		t.Error("step 10001 was written")
	}
	path := filepath.Join(dir, "shop.json")
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil { // a folder in the file's place
		t.Fatal(err)
	}
	if err := f.Update(func(s *State) { s.Step = 200 }); err == nil {
		t.Error("an impossible write gave no error")
	}
	if got := f.State().Step; got != 100 {
		t.Errorf("step %d, want 100", got)
	}
}

// A service's name never leads out of the directory.
func TestStateFileName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenState(dir, "../a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Update(func(s *State) { s.Step = 1 }); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(names) != 1 {
		t.Errorf("files in the directory: %v, want one", names)
	}
}
