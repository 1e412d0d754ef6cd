package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
)

// convert fills the new shop's tables from those of the old one, which were loaded beside
// them: a copy keeps the ids.
const convert = `
TRUNCATE messages, journal, bookings, inventory_moves, purchase_items, purchases, inventory, logins, accounts;
INSERT INTO accounts SELECT id, email, name, password, points, created_at FROM customers;
INSERT INTO logins SELECT token, customer_id, created_at FROM sessions;
INSERT INTO inventory SELECT sku, on_hand FROM stock;
INSERT INTO purchases SELECT id, customer_id, status, currency, total_cents, vat_cents, note, address, tags, placed_at, updated_at FROM orders;
INSERT INTO purchase_items SELECT id, order_id, sku, quantity, unit_cents, line_cents FROM order_items;
INSERT INTO inventory_moves SELECT id, order_item_id, sku, quantity, moved_at FROM stock_moves;
INSERT INTO bookings SELECT id, order_id, customer_id, method, amount_cents, booked_at FROM ledger;
INSERT INTO journal SELECT id, customer_id, order_id, action, request_id, at FROM audit_log;
INSERT INTO messages SELECT id, order_id, recipient, subject, body, status, created_at, sent_at FROM mails;
DROP TABLE mails, audit_log, ledger, stock_moves, order_items, orders, stock, products, sessions, customers;
`

// TestCloneUnderLoad makes the candidate's database anew while shoppers go on: a dump of
// what Parallax takes a snapshot of, converted, and then everything that the snapshot does
// not hold. Whole tables are the same afterwards, and so is what is compared.
func TestCloneUnderLoad(t *testing.T) {
	t.Parallel()
	s := startShopsWith(t, "cloned", "tag", func(_, _ *shop.Options) {}, func(config string) string {
		return strings.ReplaceAll(config, ", from: [", ", unmapped: same, from: [")
	})
	script := filepath.Join(t.TempDir(), "copy.sh")
	if err := os.WriteFile(script, fmt.Appendf(nil, `set -e
%q --snapshot "$PARALLAX_SNAPSHOT" --no-owner --no-publications %s -d %q | %q -Xq -v ON_ERROR_STOP=1 -1 -o /dev/null -d %q
%q -Xq -v ON_ERROR_STOP=1 -1 -d %q <<'SQL'
%s
SQL
`, s.server.Bin("pg_dump"), "-t customers -t sessions -t products -t stock -t orders -t order_items -t stock_moves -t ledger -t audit_log -t mails", s.old,
		s.server.Bin("psql"), s.new, s.server.Bin("psql"), s.new, convert), 0o600); err != nil {
		t.Fatal(err)
	}

	shopping, stop := context.WithCancel(t.Context())
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: 24}
	defer transport.CloseIdleConnections()
	var counts shoppers.Counts
	var all sync.WaitGroup
	all.Go(func() {
		counts = shoppers.Run(shopping, shoppers.Options{Base: s.Services["shop"], Count: 24, Seed: 7, Rate: 120, HTTP: transport})
	})
	s.untilCompared(t, 150)
	var said bytes.Buffer
	code := runEffects(t.Context(), env{getenv: os.Getenv, stdin: strings.NewReader(""), stdout: &said, stderr: &said},
		[]string{"clone", "--server", s.Admin, "--service", "shop", "--reason", "the first copy was too old", "--", "sh", script})
	if code != exitGood {
		t.Fatalf("effects clone: %d\n%s", code, &said)
	}
	s.untilCompared(t, s.untilCompared(t, 0)+150)
	stop()
	all.Wait()
	if counts.Errors > 0 {
		t.Fatalf("%d of %d callers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
	}
	r := settled(t, s.Parallax, counts.Sent)
	t.Logf("%s%d requests: %+v", &said, counts.Sent, r.Accounting)
	if r.Accounting.Compared["diverged"] > 0 {
		t.Errorf("%d exchanges diverged: %v", r.Accounting.Compared["diverged"], s.issues(t))
		var list struct{ Exchanges []struct{ ID string } }
		s.JSON("/api/v1/services/shop/exchanges?outcome=diverged", &list)
		for _, x := range list.Exchanges {
			t.Log(get(t, s.Admin+"/api/v1/services/shop/exchanges/"+x.ID))
		}
	}
	caught, held, tainted := s.became(t, "caught_up"), s.became(t, "in_copy"), s.became(t, "tainted")
	if t.Logf("%d writes were caught up, %d were in the copy, %d tainted", caught, held, tainted); caught == 0 || held == 0 {
		t.Error("the copy was not under load: the test shows nothing")
	}
	s.sameTables(t)
}

// became returns how many missed writes have become what a metric says.
func (s *twoShops) became(t *testing.T, what string) (n int) {
	t.Helper()
	line := fmt.Sprintf(`parallax_missed_writes_total{leg="candidate",result=%q,service="shop"} `, what)
	_, rest, found := strings.Cut(get(t, s.Admin+"/metrics"), line)
	if _, err := fmt.Sscan(rest, &n); found && err != nil {
		t.Fatal(err)
	}
	return n
}

// untilCompared waits until so many exchanges match, and returns how many do.
func (s *twoShops) untilCompared(t *testing.T, n int64) (matched int64) {
	t.Helper()
	rig.Eventually(t, fmt.Sprintf("%d matching exchanges", n), func() error {
		var r reports.Report
		if err := s.JSON("/api/v1/services/shop/report", &r); err != nil {
			return err
		}
		if matched = r.Accounting.Compared["match"]; matched < n {
			return fmt.Errorf("%+v", r.Accounting)
		}
		return nil
	})
	return matched
}

// sameTables compares the whole tables of both versions.
func (s *twoShops) sameTables(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parallax.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := runEffects(t.Context(), env{getenv: os.Getenv, stdin: strings.NewReader(""), stdout: &out, stderr: &out},
		[]string{"verify", "-c", file, "--service", "shop", "--min-age", "0s"}); code != exitGood {
		t.Errorf("effects verify: %d\n%s", code, &out)
	}
	t.Log(out.String())
}
