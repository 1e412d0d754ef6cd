package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
	"parallax/ui"
)

// TestShopThatIsDeclaredDryAndCommits has a shop that is declared dry and obeys nobody: once
// its first commit is read it is asked no more as a shadow, also under load, and the page and
// the verdict say why. Shoppers do not notice.
func TestShopThatIsDeclaredDryAndCommits(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	var urls, dsn [2]string
	commits := func() string {
		return strings.TrimSpace(server.SQL("dry_new", "SELECT (SELECT count(*) FROM journal) + (SELECT count(*) FROM purchases)"))
	}
	for i, version := range []string{shop.Old, shop.New} {
		database := "dry_" + version
		server.SQL("postgres", "CREATE DATABASE "+database)
		dsn[i] = server.DSN(database)
		opened, err := shop.Open(t.Context(), shop.Options{Version: version, DSN: dsn[i], Data: shop.Own, IDs: shop.Own, Tag: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(opened.Close)
		back := httptest.NewServer(opened)
		t.Cleanup(back.Close)
		urls[i] = back.URL
	}
	config := strings.Replace(twoShopsConfig(t, urls[0], urls[1], dsn[0], dsn[1], "tag"), "state: own", "state: dry", 1)
	p := rig.Start(t, config)
	untilRead(t, p)

	ctx, stop := context.WithCancel(t.Context())
	shopped := make(chan shoppers.Counts, 1)
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	go func() {
		shopped <- shoppers.Run(ctx, shoppers.Options{Base: p.Services["shop"], Count: 4, Seed: 3, Rate: 40, HTTP: transport})
	}()
	defer stop()
	var state ui.MirroringState
	rig.Eventually(t, "a trip", func() error {
		if err := p.JSON("/api/v1/services/shop/mirroring", &state); err != nil || len(state.Tripped) == 0 {
			return fmt.Errorf("the leg has %s commits and is asked on: %w", commits(), err)
		}
		return nil
	})
	first, err := time.Parse(time.RFC3339Nano, server.SQL("dry_new", `SELECT to_char(min(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM journal`))
	if err != nil {
		t.Fatal(err)
	}
	took := state.Tripped[0].At.Sub(first)
	t.Logf("mirroring to the leg stopped %v after its first transaction began", took.Round(time.Millisecond))
	if took > 10*time.Second { // 1 s where the machine does nothing else
		t.Errorf("it took %v to stop", took)
	}

	// What was under way is done once its exchanges are; after that nothing comes.
	stop()
	counts := <-shopped
	if counts.Errors > 0 {
		t.Errorf("%d of %d shoppers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
	}
	r := settled(t, p, counts.Sent)
	if r.Accounting.Unmirrored["tripped"] == 0 {
		t.Errorf("accounting %+v", r.Accounting)
	}
	before := commits()
	again := shoppers.Run(t.Context(), shoppers.Options{Base: p.Services["shop"], Count: 2, Visits: 2, Seed: 4, HTTP: transport})
	settled(t, p, counts.Sent+again.Sent)
	if now := commits(); again.Errors > 0 || now != before {
		t.Errorf("%d errors; the leg has %s commits after %s", again.Errors, now, before)
	}
	const why = "its state is dry, and its request of exchange "
	rig.Eventually(t, "the verdict says why", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		for _, r := range v.Reasons {
			if r.Code == reports.Tripped && v.Decision == reports.Hold && strings.Contains(r.Detail, why) && strings.Contains(r.Detail, "in the database of the candidate") {
				return nil
			}
		}
		return fmt.Errorf("%s: %+v", v.Decision, v.Reasons)
	})
	if page := get(t, p.Admin+"/services/shop"); !strings.Contains(page, why) {
		t.Errorf("the page does not say why:\n%s", page)
	}
}
