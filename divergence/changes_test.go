package divergence

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestChanges lists what was changed about who gets which version, the latest first, and nothing
// else that people decided.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	at := noon
	for _, d := range []Decision{
		{Service: "shop", Kind: "step", Key: "step", Value: "250", Who: "ann", Note: "first users"},
		{Service: "shop", Kind: "issue", Key: "1-aa", Value: "{}"},
		{Service: "shop", Kind: "rollback", Key: "step", Value: "0", Who: "policy"},
		{Service: "other", Kind: "step", Key: "step", Value: "1"},
		{Service: "shop", Kind: RestartKind, Key: RestartKey, Who: "bob"},
	} {
		at = at.Add(time.Second)
		d.At = at
		if err := s.AppendDecision(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	kinds := func(limit int) (out []string) {
		t.Helper()
		list, err := s.Changes(t.Context(), "shop", limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			out = append(out, d.Kind+" "+d.Who)
		}
		return out
	}
	if diff := cmp.Diff([]string{"evidence bob", "rollback policy", "step ann"}, kinds(100)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := kinds(1); len(got) != 1 {
		t.Errorf("one was asked for, %v came", got)
	}
	if last, err := s.lastRestart(t.Context(), "shop"); err != nil || !last.Equal(at) {
		t.Errorf("evidence was started anew at %v, %v; want %v", last, err, at)
	}
	if last, err := s.lastRestart(t.Context(), "nobody"); err != nil || !last.IsZero() {
		t.Errorf("of a service without: %v, %v", last, err)
	}
}
