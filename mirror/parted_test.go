package mirror_test

import (
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestPartedStateIsTainted: what an exchange may have left different on the legs is known
// to later ones of this process and, by the spool, to those of the next; users and paths
// that it was not about are not concerned.
func TestPartedStateIsTainted(t *testing.T) {
	t.Parallel()
	for orderBy, same := range map[string]string{"": "/orders/17", "header:X-User": "/orders/4"} {
		cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirror.Own)
		cfg.Mirror.OrderBy = orderBy
		dir := t.TempDir()
		r := start(t, cfg, keeping(dir))
		x := r.read("/orders/17", "ann")
		if r.Mirror.IsParted(x) {
			t.Fatalf("order_by %q: parted before anything was", orderBy)
		}
		r.Mirror.Parted(x, "effects_unknown")
		missed(t, r, 0, 1)
		if !r.Mirror.IsParted(x) || !r.Mirror.IsParted(r.read(same, "ann")) {
			t.Errorf("order_by %q: what parted is not known", orderBy)
		}
		if other := r.read("/orders/5", "bob"); other.Lag != "" || r.Mirror.IsParted(other) {
			t.Errorf("order_by %q: somebody else's is %q", orderBy, other.Lag)
		}
		r.Stop()
		again := start(t, cfg, keeping(dir))
		if got := again.read(same, "ann").Lag; got != "tainted" {
			t.Errorf("order_by %q: after a restart the state is %q", orderBy, got)
		}
		again.Mirror.Parted(x, "effects_unknown")
		if err := again.Mirror.Untaint(parallax.Candidate, time.Now().Add(time.Hour)); err != nil || again.Mirror.IsParted(x) {
			t.Errorf("order_by %q: a copy of later data did not forgive: %v", orderBy, err)
		}
	}
}

// TestOnlyOwnDatabasesPart: a leg that shares its database with the live one has the same.
func TestOnlyOwnDatabasesPart(t *testing.T) {
	t.Parallel()
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirror.Shared)
	r := start(t, cfg, keeping(t.TempDir()))
	x := r.read("/orders/17", "ann")
	r.Mirror.Parted(x, "effects_unknown")
	r.Mirror.Parted(&parallax.Exchange{}, "effects_unknown")
	if r.Mirror.IsParted(x) {
		t.Error("a shared database has another state than itself")
	}
}
