package mirror_test

import (
	"bytes"
	"os/exec"
	"testing"
)

// curl runs curl over HTTP/1.1 and returns what it wrote to its standard output.
// It fails the test unless curl ends as expected.
func curl(t testing.TB, exit int, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is missing; scripts/setup-test.sh installs it")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--silent", "--show-error", "--http1.1", "--noproxy", "*"}, args...)...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	_ = cmd.Run() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Fatalf("curl %q: exit code %d, want %d: %s", args, got, exit, problem.String())
	}
	return out.String()
}
