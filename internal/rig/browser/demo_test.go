package browser

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"parallax/internal/rig"
)

// startDemo runs parallax demo --shop until the test ends. What it returns says whether
// the demo has ended before.
func startDemo(t *testing.T, dir, address string) (ended func() error) {
	t.Helper()
	cmd := exec.Command(rig.Binary(t), "demo", "--shop", "--for", "10m", "--rate", "20", "--no-open", "--listen", address)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-done
	})
	return func() error {
		select {
		case err := <-done:
			return fmt.Errorf("the demo ended by itself: %v\n%s", err, out.String())
		default:
			return nil
		}
	}
}

// get returns the body of a good answer.
func get(url string) (string, error) {
	answer, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, answer.Status)
	}
	return string(text), err
}
