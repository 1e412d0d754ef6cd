package mirror_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestReloadWhileARequestWaits: a request that waits for an identifier finishes by
// the configuration that it began with.
func TestReloadWhileARequestWaits(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	candidate.hold = make(chan struct{})
	cfg := withIdentifiers(primary.URL, candidate.URL)
	r := start(t, cfg)
	_, body := r.do("POST", "/login", "ann")
	var login struct{ Token string }
	_ = json.Unmarshal([]byte(body), &login)
	who := "Authorization: Bearer " + login.Token
	_, body = r.do("POST", "/orders", `{}`, who, "Content-Type: application/json")
	r.do("GET", "/orders/"+idOf(t, body), "", who)
	r.atShadows(2)
	cfg.Identifiers = nil
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	change.Commit()
	close(candidate.hold)
	r.sameStatus(3)
}

// TestShutdownWhileARequestWaits: a wait that nobody would end is given up, and the
// exchange is lost to the shutdown.
func TestShutdownWhileARequestWaits(t *testing.T) {
	t.Parallel()
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := withIdentifiers(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL)
	cfg.Mirror.Timeout = 100 * time.Millisecond // how long a shutdown lets shadows finish
	cfg.Identifiers[0].Wait = time.Minute
	r := start(t, cfg, func(d *mirror.Deps) { d.IDs = func(string, func(string)) ids.Map { return pending{} } })
	r.do("GET", "/orders/17", "")
	r.atShadows(1)
	r.Stop()
	if lost := r.Ledger.Places()[parallax.LostShutdown]; lost != 1 || candidate.Count() != 0 {
		t.Errorf("%d exchanges lost to the shutdown, %d requests to the candidate: %v", lost, candidate.Count(), r.Ledger.Places())
	}
}

// pending is a map in which every value is on its way for ever.
type pending struct{}

func (pending) Learn(context.Context, ...ids.Fact) error { return nil }

func (pending) Find(_ context.Context, refs ...ids.Ref) ([]ids.Entry, error) {
	out := make([]ids.Entry, len(refs))
	for i := range out {
		out[i][parallax.Candidate].State = ids.Pending
	}
	return out, nil
}

func (pending) Await(ctx context.Context, _ ids.Ref, _ parallax.Leg) (ids.Partner, error) {
	<-ctx.Done()
	return ids.Partner{State: ids.Pending}, nil
}
