package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parallax/cmd/demoshop/shop"
	"parallax/internal/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

func nothing(string) string { return "" }

// TestHelpTellsOfEachDefect: what it does, and the table and column that show it.
func TestHelpTellsOfEachDefect(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, nothing, io.Discard, &help); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, d := range shop.Defects() {
		place := strings.TrimSuffix(d.Table+"."+d.Column, ".")
		if !strings.Contains(help.String(), "  "+d.Name+"\n") || !strings.Contains(help.String(), "shows in "+place) && place != "" || !strings.Contains(help.String(), d.Does) {
			t.Errorf("help does not tell of %+v:\n%s", d, help.String())
		}
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	f := func(code int, said string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(t.Context(), args, nothing, io.Discard, &out); got != code || !strings.Contains(out.String(), said) {
			t.Errorf("%v: exit code %d, want %d with %q:\n%s", args, got, code, said, out.String())
		}
	}
	f(2, "flag provided but not defined", "--color")
	f(2, `unknown argument "serve"`, "serve")
	f(1, "dsn: it is missing", "--version", "old", "--listen", "127.0.0.1:0")
	f(1, "cannot listen", "--version", "old", "--listen", "127.0.0.1:none")
}

// TestRun is the whole program, from its start to a signal.
func TestRun(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	getenv := func(name string) string { return map[string]string{"DEMOSHOP_DSN": server.DSN("postgres")}[name] }
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--version", "new", "--listen", "127.0.0.1:0", "--defect", "slow,rounding", "--tag"}, getenv, write, io.Discard)
	}()
	line := make([]byte, 200)
	n, err := read.Read(line)
	url := regexp.MustCompile(`http://\S+`).FindString(string(line[:n]))
	if err != nil || url == "" {
		t.Fatalf("%q, %v", line[:n], err)
	}
	transport := &http.Transport{}
	answer, err := (&http.Client{Transport: transport}).Get(url + "/healthz")
	if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("X-Version") != "2.0.0" {
		t.Errorf("%+v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
	transport.CloseIdleConnections()
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}
