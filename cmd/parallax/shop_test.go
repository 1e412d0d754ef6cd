package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/compare/effects/postgres"
	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/reports"
)

// twoShopsConfig is a Parallax between the two versions of the demo shop, which make up their
// own ids and tokens and have databases with other names.
func twoShopsConfig(t *testing.T, primary, candidate, oldDSN, newDSN, correlate string) string {
	t.Helper()
	var tables [2][]string
	var mapped strings.Builder
	for _, each := range shop.Tables() {
		tables[0], tables[1] = append(tables[0], each.Old), append(tables[1], each.New)
		var columns []string
		for _, pair := range each.Columns {
			columns = append(columns, pair[0]+": "+pair[1])
		}
		fmt.Fprintf(&mapped, "    - { primary: %s, candidate: %s, columns: {%s}, ignore: [%s], generated: [%s] }\n", each.Old, each.New,
			strings.Join(columns, ", "), strings.Join(append(each.Ignore, "request_id"), ", "), strings.Join(each.Made, ", "))
	}
	return fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: "off" }
  endpoints: ["POST /customers", "POST /sessions", "DELETE /sessions", "GET /products", "POST /orders", "GET /orders", "GET /orders/{id}", "PATCH /orders/{id}",
    "POST /orders/{id}/cancel", "POST /orders/{id}/pay"]
  mirror: { unsafe: allowed, order_by: "header:X-User" }
  identifiers:
  - { name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}", "path:/orders/{id}/cancel", "path:/orders/{id}/pay", "location:/orders/{id}", "$.id", "$.orders[*].id"] }
  - { name: customer, from: ["POST /customers $.id", "POST /sessions $.customer_id"], in: ["location:/customers/{id}", "$.customer_id", "$.orders[*].customer_id"] }
  - { name: token, from: ["POST /sessions $.token"], in: ["header:Authorization"] }
  rules:
  - { path: "$..placed_at", time: {within: 10s}, reason: "each version's clock" }
  - { path: "header:x-version", ignore: true, reason: "each says which it is" }
  effects:
    primary: [{ postgres: %q, tables: [%s] }]
    candidate: [{ postgres: %q, tables: [%s] }]
    correlate: [%s]
    settle: 300ms
    tables:
%s`, primary, candidate, oldDSN, strings.Join(tables[0], ", "), newDSN, strings.Join(tables[1], ", "), correlate, mapped.String())
}

// twoShops is the demo shop in both versions with Parallax in front of them.
type twoShops struct {
	*rig.Parallax
	server   *rig.PostgresServer
	old, new string // databases
	config   string
}

func startShops(t *testing.T, name, correlate string, change func(old, new *shop.Options)) *twoShops {
	t.Helper()
	return startShopsWith(t, name, correlate, change, func(config string) string { return config })
}

// startShopsWith is startShops with another configuration.
func startShopsWith(t *testing.T, name, correlate string, change func(old, new *shop.Options), configure func(string) string) *twoShops {
	t.Helper()
	server := rig.Postgres(t)
	s := &twoShops{server: server}
	var urls [2]string
	options := [2]shop.Options{
		{Version: shop.Old, Data: shop.Own, IDs: shop.Own, Tag: true},
		{Version: shop.New, Data: shop.Own, IDs: shop.Own, Tag: true},
	}
	change(&options[0], &options[1])
	for i := range options {
		database := fmt.Sprintf("%s_%s", name, options[i].Version)
		server.SQL("postgres", "CREATE DATABASE "+database)
		options[i].DSN = server.DSN(database)
		opened, err := shop.Open(t.Context(), options[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(opened.Close)
		if options[i].Comments {
			installTrigger(t, options[i])
		}
		back := httptest.NewServer(opened)
		t.Cleanup(back.Close)
		urls[i] = back.URL
	}
	s.old, s.new = options[0].DSN, options[1].DSN
	s.config = configure(twoShopsConfig(t, urls[0], urls[1], s.old, s.new, correlate))
	s.Parallax = rig.Start(t, s.config)
	untilRead(t, s.Parallax)
	return s
}

// installTrigger makes a shop's statements tag their transactions by their comments.
func installTrigger(t *testing.T, o shop.Options) {
	t.Helper()
	source := postgres.Source{DSN: o.DSN}
	for _, table := range shop.Tables() {
		name := table.Old
		if o.Version == shop.New {
			name = table.New
		}
		source.Tables = append(source.Tables, name)
	}
	if err := postgres.Install(t.Context(), source); err != nil {
		t.Fatal(err)
	}
}

// shop sends shoppers and returns what came of it.
func (s *twoShops) shop(t *testing.T, count, visits int) reports.Report {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: count}
	defer transport.CloseIdleConnections()
	counts := shoppers.Run(t.Context(), shoppers.Options{Base: s.Services["shop"], Count: count, Visits: visits, Seed: 7, Rate: 200, HTTP: transport})
	if counts.Errors > 0 {
		t.Fatalf("%d of %d callers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
	}
	return settled(t, s.Parallax, counts.Sent)
}

// issues returns the places of all issues, with how they differ.
func (s *twoShops) issues(t *testing.T) []string {
	t.Helper()
	var issues []divergence.Issue
	if err := jsonList(s.Parallax, "/api/v1/services/shop/issues", "issues", &issues); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, i := range issues {
		found[i.Path+" "+i.Kind] = true
	}
	var out []string
	for place := range found {
		out = append(out, place)
	}
	slices.Sort(out)
	return out
}

// TestShopsWriteTheSame sends shoppers through both versions of the demo shop, whose
// databases have other names and numbers: no exchange diverges and every write finds its
// exchange, whether the shops tag their transactions, or carry comments only and the
// databases have the trigger.
func TestShopsWriteTheSame(t *testing.T) {
	t.Parallel()
	for how, change := range map[string]func(old, new *shop.Options){
		"tag":   func(_, _ *shop.Options) {},
		"trace": func(old, new *shop.Options) { old.Tag, old.Comments, new.Tag, new.Comments = false, true, false, true },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := startShops(t, "same", how, change)
			r := s.shop(t, 8, 10)
			if d := cmp.Diff([]string(nil), s.issues(t)); d != "" || r.Accounting.Compared["diverged"] > 0 || r.Accounting.Compared["not_comparable"] > 0 {
				t.Errorf("%+v, issues (-want +got):\n%s", r.Accounting.Compared, d)
			}
			var got struct {
				Counts []struct {
					Leg, Table, Count string
					N                 uint64
				}
			}
			rig.Eventually(t, "the counts of effects", func() error {
				err := s.JSON("/api/v1/services/shop/effects", &got)
				if err == nil && len(got.Counts) < 2*len(shop.Tables()) {
					err = fmt.Errorf("%+v", got.Counts)
				}
				return err
			})
			for _, c := range got.Counts {
				if c.Count != how {
					t.Errorf("%d changes of %s on the %s are %s, want all %s", c.N, c.Table, c.Leg, c.Count, how)
				}
			}
		})
	}
}

// TestShopDefectsAreFound switches on each defect of the demo shop's new version: it is
// found where its description says, and nothing else is.
func TestShopDefectsAreFound(t *testing.T) {
	t.Parallel()
	for _, d := range shop.Defects() {
		if d.Table == "" {
			continue // It shows in no row.
		}
		t.Run(d.Name, func(t *testing.T) {
			s := startShops(t, "defect", "tag", func(_, next *shop.Options) { next.Defects = []string{d.Name} })
			r := s.shop(t, 6, 8)
			var asked int64 // at most so many exchanges have shown it when it was found
			for _, route := range d.Routes {
				asked += endpoint(t, r, route).Compared
			}
			t.Logf("%s is found within %d exchanges of %s", d.Name, asked, strings.Join(d.Routes, ", "))
			if asked > 200 {
				t.Errorf("%d exchanges may have shown it, want up to 200", asked)
			}
			var want []string
			for _, table := range shop.Tables() {
				if table.New != d.Table {
					continue
				}
				for _, pair := range append(table.Columns, [2]string{d.Column, d.Column}) {
					if pair[1] == d.Column && d.Column != "" {
						want = []string{fmt.Sprintf("effects:%s $.%s changed", table.Old, pair[0])}
						break
					}
				}
				switch {
				case d.Name == "missing-audit":
					want = []string{"effects:" + table.Old + " missing"}
				case d.Column == "":
					want = []string{"effects:" + table.Old + " extra"}
				}
			}
			if d.Name == "changed-field" {
				want = append(want, "$.currency changed", "$.orders[*].currency changed")
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, s.issues(t)); diff != "" {
				t.Errorf("%+v, issues (-want +got):\n%s", r.Accounting.Compared, diff)
			}
		})
	}
}

// TestShopsWithLostConnections loses the connections by which both databases are read,
// under load, and then the process: callers do not notice, what was not read is unknown and
// nothing diverges, and no slot is left behind.
func TestShopsWithLostConnections(t *testing.T) {
	t.Parallel()
	s := startShops(t, "lost", "tag", func(_, _ *shop.Options) {})
	const readers = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication"
	var seen atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	counts := shoppers.Run(t.Context(), shoppers.Options{Base: s.Services["shop"], Count: 6, Visits: 30, Seed: 11, Rate: 100, HTTP: transport, Seen: func(shoppers.Answer) {
		if seen.Add(1) == 200 {
			if got := strings.TrimSpace(s.server.SQL("postgres", readers)); !strings.Contains(got, "2") {
				t.Errorf("connections ended: %s", got)
			}
		}
	}})
	if counts.Errors > 0 {
		t.Errorf("%d of %d callers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
	}
	r := settled(t, s.Parallax, counts.Sent)
	c := r.Accounting.Compared
	reasons := map[string]int64{}
	for _, e := range r.Endpoints {
		for reason, n := range e.NotComparableReasons {
			reasons[reason] += n
		}
	}
	delete(reasons, "unmapped_identifier") // Rows that were made meanwhile: nobody saw what the other database calls them.
	if c["diverged"] > 0 || c["match"] == 0 || reasons["effects_unknown"] == 0 || len(reasons) > 1 {
		t.Errorf("%v, %v; issues: %v", c, reasons, s.issues(t))
	}
	s.Kill()
	rig.Eventually(t, "the slots to end", func() error {
		if left := s.server.SQL("postgres", "SELECT slot_name FROM pg_replication_slots"); strings.Contains(left, "parallax") {
			return fmt.Errorf("slots: %s", left)
		}
		return nil
	})
}
