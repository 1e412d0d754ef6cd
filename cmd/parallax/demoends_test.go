package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parallax/internal/rig"
)

// TestDemoOfTheShopEnds ends the demo of the shop in each way that a process may end: none of
// its processes is left, and unless it was killed no file either.
func TestDemoOfTheShopEnds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs demos")
	}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		early  bool // while the databases are made
	}{
		{"Ctrl-C", syscall.SIGINT, false},
		{"SIGTERM at the start", syscall.SIGTERM, true},
		{"kill -9", syscall.SIGKILL, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "parallax-ends-") // not t.TempDir: the user postgres passes through it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			admin := freeAddress(t)
			cmd := exec.Command(rig.Binary(t), "demo", "--shop", "--for", "10m", "--rate", "10", "--no-open", "--listen", admin)
			cmd.Env = append(os.Environ(), "TMPDIR="+dir)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the signal is for it alone
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { cmd.Process.Kill() }) // it has ended, unless the test has failed
			rig.Eventually(t, "the demo to be so far", func() error {
				select {
				case err := <-ended:
					t.Fatalf("it ended by itself: %v\n%s", err, out.String())
				default:
				}
				if c.early {
					return atWork(dir, "initdb")
				}
				return errors.Join(atWork(dir, "postgres"), atWork(dir, "parallax-engine"), compares(admin))
			})
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			err = <-ended
			t.Logf("it ended with %v, and printed\n%s", err, out.String())
			rig.Eventually(t, "its processes to end", func() error {
				if left := processesIn(dir); len(left) > 0 {
					return fmt.Errorf("left: %q", left)
				}
				return nil
			})
			if left, err := os.ReadDir(dir); c.signal != syscall.SIGKILL && (err != nil || len(left) > 0) {
				t.Errorf("files left: %v, %v", left, err)
			}
		})
	}
}

// compares reports whether a Parallax has compared something.
func compares(admin string) error {
	answer, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if !bytes.Contains(text, []byte("\nparallax_exchanges_total{")) {
		err = errors.Join(err, errors.New("nothing was compared"))
	}
	return err
}

// atWork reports whether a program of a demo runs.
func atWork(dir, program string) error {
	for _, each := range processesIn(dir) {
		if strings.Contains(each, program) {
			return nil
		}
	}
	return fmt.Errorf("%s does not run", program)
}

// processesIn lists the processes that name a folder in their arguments, or have it as
// their own.
func processesIn(dir string) (list []string) {
	found, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, proc := range found {
		args, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		where, _ := os.Readlink(filepath.Join(proc, "cwd"))
		if errors.Is(err, fs.ErrNotExist) || !bytes.Contains(args, []byte(dir)) && !strings.HasPrefix(where, dir) {
			continue
		}
		list = append(list, filepath.Base(proc)+" "+strings.ReplaceAll(string(args), "\x00", " "))
	}
	return list
}
