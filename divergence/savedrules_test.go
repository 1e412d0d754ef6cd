package divergence

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSavedRulesHoldInEveryProcess: the last are in force, whoever began from older ones is
// refused, and a process that starts without the store goes by what it knew.
func TestSavedRulesHoldInEveryProcess(t *testing.T) {
	t.Parallel()
	s, dir := openShared(t), t.TempDir()
	clock := func() time.Time { return noon }
	first, second := newBoard(s, dir, clock), newBoard(s, t.TempDir(), clock)
	none := first.Rules("ruled")
	if none.Text != "" || none.Version == "" || !none.At.IsZero() {
		t.Errorf("before the first: %+v", none)
	}
	save := func(b *Board, text, base string) (SavedRules, error) {
		rules := NewSavedRules(text)
		rules.At, rules.Who, rules.Reason = noon, "ann", "they are meant"
		return rules, b.SaveRules(t.Context(), "ruled", rules, base)
	}
	one, err := save(first, "- {path: $.a, ignore: true}", none.Version)
	if err != nil || first.Rules("ruled").Text != one.Text {
		t.Fatalf("%v; in force: %+v", err, first.Rules("ruled"))
	}
	if _, err := save(second, "- {path: $.b, ignore: true}", none.Version); !errors.Is(err, ErrOtherRules) || !strings.Contains(err.Error(), "ann") {
		t.Errorf("from older ones: %v", err)
	}
	// At the same moment by the clock, and long: both are kept, the later is in force.
	long := "- {path: $.b, ignore: true}\n" + strings.Repeat("# why\n", 20_000)
	two, err := save(second, long, one.Version)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.refresh(t.Context(), "ruled"); err != nil || first.Rules("ruled").Version != two.Version {
		t.Errorf("the other process, %v: %+.60v", err, first.Rules("ruled"))
	}
	if kept, err := s.Decisions(t.Context(), "ruled", RulesKind); err != nil || len(kept) != 2 {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	if list, err := s.Changes(t.Context(), "ruled", 10); err != nil || len(list) != 2 || list[0].Value != "" || list[0].Note != "they are meant" {
		t.Errorf("changes %+.80v, %v", list, err)
	}
	later := newBoard(awayStore(t), dir, clock)
	if err := later.Open("ruled"); err != nil || later.Rules("ruled") != first.Rules("ruled") {
		t.Errorf("after a start without the store, %v: %+.60v", err, later.Rules("ruled"))
	}
	if _, err := save(later, "", two.Version); !errors.Is(err, ErrAway) || later.Rules("ruled").Version != two.Version {
		t.Errorf("saved without the store: %v", err)
	}
}

// TestAFileOfRulesThatCannotBeRead keeps a process from starting with others.
func TestAFileOfRulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBoard(awayStore(t), dir, func() time.Time { return noon })
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.rulesFile("shop"), []byte(`{"text":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Open("shop"); err == nil || !strings.Contains(err.Error(), "rules") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("opened: %v", err)
	}
}

// TestASlowRefreshBringsBackNoRules: what began earlier knows less.
func TestASlowRefreshBringsBackNoRules(t *testing.T) {
	t.Parallel()
	b := newBoard(awayStore(t), t.TempDir(), func() time.Time { return noon })
	newer := NewSavedRules("- {path: $.a, ignore: true}")
	newer.At = noon
	for _, page := range []rulesPage{{2, newer}, {1, NewSavedRules("")}} {
		if err := b.putRules("shop", page); err != nil {
			t.Fatal(err)
		}
	}
	if b.Rules("shop") != newer {
		t.Errorf("in force: %+v", b.Rules("shop"))
	}
}

func TestLineEndsAreNoOtherRules(t *testing.T) {
	t.Parallel()
	unix, form := NewSavedRules("- {path: $.a, ignore: true}\n- {path: $.b, ignore: true}\n"), NewSavedRules("\r\n- {path: $.a, ignore: true}\r\n- {path: $.b, ignore: true}")
	if unix != form {
		t.Errorf("%+v, %+v", unix, form)
	}
}
