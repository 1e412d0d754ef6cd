package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
	"parallax/divergence"
	"parallax/reports"
)

// learntServer is as much of a server as keeps what was learnt about noise.
func learntServer(dir string, log *bytes.Buffer) (*server, *compare.NoiseModel) {
	s := &server{cfg: Config{StateDir: dir}, log: slog.New(slog.NewTextHandler(log, nil))}
	svc, model := &service{name: "a/b"}, &compare.NoiseModel{}
	svc.terms.Store(&terms{compares: &divergence.Judge{Noise: model}})
	s.current.Store((&lineup{}).with(svc))
	s.readNoise("a/b", model)
	return s, model
}

func TestNoiseIsKeptOverARestart(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &bytes.Buffer{}
	s, model := learntServer(dir, log)
	for range 5 {
		model.Add(compare.NoiseSample{Endpoint: "GET /", Complete: true, Secondary: []string{"$.at changed string:timestamp"}})
	}
	if err := s.writeNoise(); err != nil {
		t.Fatal(err)
	}
	_, again := learntServer(dir, log)
	if diff := cmp.Diff(model.Places("GET /"), again.Places("GET /")); diff != "" || log.Len() > 0 {
		t.Errorf("log %q, (-before +after)\n%s", log, diff)
	}
	s.handed.Store(true) // the file is the new process's
	model.Add(compare.NoiseSample{Endpoint: "GET /", Complete: true, Secondary: []string{"$.other changed number:0"}})
	if err := s.writeNoise(); err != nil {
		t.Fatal(err)
	}
	if _, again := learntServer(dir, log); len(again.Places("GET /")) != 1 {
		t.Error("a process that was replaced has written its noise")
	}
}

// TestNoiseIsNobodysState: whatever services are named, what one has learnt about
// noise is not where another keeps its state.
func TestNoiseIsNobodysState(t *testing.T) {
	t.Parallel()
	s, model := learntServer(t.TempDir(), &bytes.Buffer{})
	model.Add(compare.NoiseSample{Endpoint: "GET /", Secondary: []string{"$.at changed string:timestamp"}})
	if err := s.writeNoise(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "a/b.noise", "noise", "noise/a/b"} {
		if _, err := reports.OpenState(s.cfg.StateDir, name); err != nil {
			t.Error(err)
		}
	}
}

func TestABadNoiseFileStopsNoStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "nonsense", `{"version":99}`} {
		log := &bytes.Buffer{}
		s, _ := learntServer(dir, log)
		path := s.noiseFile("a/b")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, model := learntServer(dir, log); model.Learnt() || !strings.Contains(log.String(), "learnt anew") {
			t.Errorf("%q: learnt %t, log %q", text, model.Learnt(), log)
		}
	}
}
