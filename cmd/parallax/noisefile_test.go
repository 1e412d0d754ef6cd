package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
	"parallax/divergence"
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

func TestABadNoiseFileStopsNoStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "nonsense", `{"version":99}`} {
		log := &bytes.Buffer{}
		s, _ := learntServer(dir, log)
		if err := os.WriteFile(s.noiseFile("a/b"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, model := learntServer(dir, log); model.Learnt() || !strings.Contains(log.String(), "learnt anew") {
			t.Errorf("%q: learnt %t, log %q", text, model.Learnt(), log)
		}
	}
}
