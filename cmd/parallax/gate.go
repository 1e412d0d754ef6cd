package main

import (
	"errors"
	"path/filepath"

	"parallax/internal/github"
	"parallax/reports"
	"parallax/ui"
)

// openGate reads the deployments that wait, if any may.
func (s *server) openGate() (err error) {
	s.gate, err = github.Open(s.cfg.GitHub, filepath.Join(s.cfg.StateDir, "github.json"), s.verdict, s.now, s.log)
	return err
}

// verdict is that on a service, by its name.
func (s *server) verdict(name string) (reports.Verdict, bool) {
	svc := s.current.Load().byName[name]
	if svc == nil {
		return reports.Verdict{}, false
	}
	return svc.judge.Verdict(), true
}

// deployments is where deliveries of GitHub's go; nil: nowhere.
func (s *server) deployments() ui.Deployments {
	if s.gate == nil {
		return nil
	}
	return deliveries{s.gate}
}

type deliveries struct{ gate *github.Gate }

// Take implements [ui.Deployments].
func (d deliveries) Take(event, signature string, body []byte) (string, error) {
	said, err := d.gate.Take(github.Delivery{Event: event, Signature: signature, Body: body})
	if refused := (github.Refusal{}); errors.As(err, &refused) {
		return "", ui.Refusal{Status: refused.Status, Word: refused.Word, Text: refused.Text}
	}
	return said, err
}
