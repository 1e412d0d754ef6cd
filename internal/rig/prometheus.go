package rig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Prometheus is a prometheus of a test's own.
type Prometheus struct{ URL string }

// StartPrometheus runs prometheus on a configuration until the test ends. Where there is none,
// the test is skipped.
func StartPrometheus(t testing.TB, config string) *Prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no prometheus here; scripts/setup-test.sh installs it")
	}
	dir, address := t.TempDir(), FreeAddress(t)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	logs := &lockedBuffer{}
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stderr = logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of prometheus:\n%s", logs.String())
		}
	})
	p := &Prometheus{"http://" + address}
	Eventually(t, "prometheus listening", func() error {
		answer, err := http.Get(p.URL + "/-/ready")
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", answer.Status)
		}
		return nil
	})
	return p
}

// Query asks for an expression now and returns how many series it has. The error is Prometheus's.
func (p *Prometheus) Query(expr string) (series int, err error) {
	answer, err := http.PostForm(p.URL+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var said struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return 0, err
	}
	if said.Status != "success" {
		return 0, fmt.Errorf("prometheus: %s", said.Error)
	}
	return len(said.Data.Result), nil
}
