package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
	"parallax/ui"
)

// withSaved are the rules of a configuration, and behind them those that people saved but for
// the ones that the configuration has too, so that a rule which moves into the file starts no
// new evidence. It fails where the saved ones cannot be in force.
func withSaved(file []compare.Rule, saved string) ([]compare.Rule, []parallax.Fault) {
	rules, faults := compare.ReadRules("the rules that were saved", []byte(saved))
	if len(faults) > 0 {
		return file, []parallax.Fault{{Text: faults[0].Error()}}
	}
	all := together(file, rules)
	if _, wrong := compare.Compile(all); len(wrong) > 0 {
		return file, wrong
	}
	if refused := refusedRules(all); len(refused) > 0 {
		return file, refused
	}
	return all, nil
}

func together(file, saved []compare.Rule) []compare.Rule {
	all := slices.Clone(file)
	for _, r := range saved {
		if !slices.ContainsFunc(file, func(f compare.Rule) bool { return reflect.DeepEqual(f, r) }) {
			all = append(all, r)
		}
	}
	return all
}

// ruleEditor saves rules of a service.
type ruleEditor struct {
	s   *server
	svc *service
}

var _ ui.RuleEditor = ruleEditor{}

// Saved implements ui.RuleEditor.
func (e ruleEditor) Saved() divergence.SavedRules { return e.s.board.Rules(e.svc.name) }

// Together implements ui.RuleEditor.
func (e ruleEditor) Together(saved []compare.Rule) []compare.Rule {
	return together(e.svc.terms.Load().cfg.Rules, saved)
}

// Save implements ui.RuleEditor.
func (e ruleEditor) Save(ctx context.Context, rules divergence.SavedRules, base string) error {
	if err := e.s.board.SaveRules(ctx, e.svc.name, rules, base); err != nil {
		return err
	}
	e.s.log.Info("rules were saved", "service", e.svc.name, "who", rules.Who, "reason", rules.Reason, "version", rules.Version)
	e.s.takeSaved(e.svc)
	e.svc.judge.Look(ctx)
	return nil
}

// takeSaved puts the rules in force that were saved last, by this process or another, where
// they are not yet.
func (s *server) takeSaved(svc *service) {
	s.mu.Lock() // or a reload that began from other rules would undo it
	defer s.mu.Unlock()
	s.putSaved(svc)
}

// putSaved is takeSaved of who holds mu, or while nobody else knows the service.
func (s *server) putSaved(svc *service) {
	before := svc.terms.Load()
	if before.saved.Version == s.board.Rules(svc.name).Version {
		return
	}
	t, faults := newTerms(before.cfg, s.redaction, s.board, before)
	if len(faults) > 0 { // a defect: the configuration is in force
		s.log.Error("saved rules cannot be put in force", "service", svc.name, "error", faults[0])
		return
	}
	if t.leftOut != "" {
		s.log.Error("rules that were saved are not in force; the verdict holds", "service", svc.name, "error", t.leftOut)
	}
	svc.adopt(t)
	svc.terms.Store(t)
}

// savedFault is what is wrong with saved rules, in a sentence.
func savedFault(saved divergence.SavedRules, faults []parallax.Fault) string {
	if len(faults) == 0 {
		return ""
	}
	text := faults[0].Text
	if faults[0].Path != "" {
		text = faults[0].Path + ": " + text
	}
	return fmt.Sprintf("those that %s saved at %s: %s", saved.Who, saved.At.Format("2006-01-02 15:04:05"), text)
}
