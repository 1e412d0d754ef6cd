package redis

import (
	"testing"
	"time"

	"parallax/internal/rig"
)

// TestSwitch: the newest word holds, one that Redis has lost is put back, and nobody is said to
// have followed before he did.
func TestSwitch(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	open := func(name string) *Switch {
		cfg := DefaultConfig()
		cfg.URL = "unix://" + server.Socket
		store, err := Open(cfg, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store.Switch("shop")
	}
	a, b := open("a"), open("b")
	look := func(s *Switch, version uint64) (Pause, bool, []Peer) {
		t.Helper()
		held, there, peers, err := s.Look(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		return held, there, peers
	}
	if _, there, _ := look(a, 0); there {
		t.Error("there is a word before anybody said one")
	}
	p := Pause{Paused: true, Who: "ann", Reason: "the candidate is too slow", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var err error
	if p.Version, err = a.Set(t.Context(), p); err != nil || p.Version != 1 {
		t.Fatalf("version %d, %v", p.Version, err)
	}
	held, there, peers := look(b, 0)
	if !there || held != p || len(peers) != 1 || peers[0].Name != "a" {
		t.Errorf("b hears %+v of %+v, want %+v", held, peers, p)
	}
	if behind := func() []string { _, _, peers := look(a, 1); return Behind(peers, 1) }(); len(behind) != 1 || behind[0] != "b" {
		t.Errorf("behind are %q, want b", behind)
	}
	look(b, 1)
	if _, _, peers := look(a, 1); len(Behind(peers, 1)) != 0 {
		t.Errorf("behind are %v", peers)
	}
	if version, err := b.Set(t.Context(), Pause{Version: 1}); err != nil || version != 2 {
		t.Errorf("version %d, %v", version, err)
	}
	if err := a.PutBack(t.Context(), p); err != nil {
		t.Error(err)
	}
	if held, _, _ := look(a, 1); held.Version != 2 || held.Paused {
		t.Errorf("an older word was put in the place of a newer one: %+v", held)
	}
	if err := b.store.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := a.PutBack(t.Context(), p); err != nil {
		t.Error(err)
	}
	if held, _, _ := look(b, 1); held != p {
		t.Errorf("%+v was put back as %+v", p, held)
	}
	b.Leave()
	if _, _, peers := look(a, 1); len(peers) != 0 {
		t.Errorf("b has left, and there are %v", peers)
	}
	if _, err := a.Set(t.Context(), Pause{Version: maxVersion}); err == nil {
		t.Error("a version that cannot be was taken")
	}
	if err := b.store.client.HSet(t.Context(), b.key, "version", "7", "word", "no JSON").Err(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := a.Look(t.Context(), 1); err == nil {
		t.Error("a word of nobody was read")
	}
}
