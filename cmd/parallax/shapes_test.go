package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/mirror"
)

// TestShapesAreHeldAgainstThePrimarysUsualNumber: of kinds that were seen before, by a number
// that was usual before, and not of what nobody could read.
func TestShapesAreHeldAgainstThePrimarysUsualNumber(t *testing.T) {
	t.Parallel()
	var s shapes
	seen := []mirror.Seen{{Endpoint: "POST /a", Leg: parallax.Candidate, Live: true}}
	insert, update := effects.Kind{Table: "orders", Op: parallax.Insert}, effects.Kind{Table: "audit", Op: parallax.Update}
	add := func(leg parallax.Leg, times int, changes map[effects.Kind]uint64) {
		for range times {
			s.add(effects.Shape{Stamp: parallax.Stamp{Endpoint: "POST /a"}, Live: leg, Changes: changes})
		}
	}
	want := func(name string, want ...divergence.Live) {
		t.Helper()
		if d := cmp.Diff(want, s.next("shop", seen)); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	of := func(primary, candidate divergence.Lived, writes ...divergence.LiveWrite) divergence.Live {
		return divergence.Live{Service: "shop", Endpoint: "POST /a", Primary: primary, Candidate: candidate, Writes: writes}
	}
	read := func(n uint64) divergence.Lived { return divergence.Lived{Read: n} }
	add(parallax.Primary, 1, map[effects.Kind]uint64{insert: 2})
	want("what is new", of(read(1), divergence.Lived{}))
	add(parallax.Primary, enoughSum, map[effects.Kind]uint64{insert: 2})
	add(parallax.Candidate, 1, map[effects.Kind]uint64{insert: 1, update: 1})
	want("no usual number yet", of(read(20), read(1), divergence.LiveWrite{Table: "orders", Op: "insert", Primary: divergence.Wrote{N: 20}, Candidate: divergence.Wrote{N: 1}}))
	add(parallax.Primary, 3, map[effects.Kind]uint64{insert: 2})
	add(parallax.Primary, 1, map[effects.Kind]uint64{insert: 3})
	add(parallax.Candidate, 2, map[effects.Kind]uint64{insert: 4, update: 1})
	add(parallax.Candidate, 1, nil)
	s.add(effects.Shape{Stamp: parallax.Stamp{Endpoint: "POST /a"}, Live: parallax.Candidate, Changes: map[effects.Kind]uint64{insert: 9}, Unread: "a gap"})
	want("by the usual number", of(read(4), divergence.Lived{Read: 3, Unread: 1},
		divergence.LiveWrite{Table: "audit", Op: "update", Primary: divergence.Wrote{N: 4, None: 4}, Candidate: divergence.Wrote{N: 3, None: 1}},
		divergence.LiveWrite{Table: "orders", Op: "insert", Primary: divergence.Wrote{N: 4, Sized: 4, Other: 1}, Candidate: divergence.Wrote{N: 3, None: 1, Sized: 2, Other: 2}}))
	want("told once")
	add(parallax.Primary, 1, nil)
	seen = append(seen, mirror.Seen{Endpoint: "POST /a", Leg: parallax.Candidate})
	want("with pairs")
}

// TestShapesAreBounded: numbers and kinds of changes without end are not remembered.
func TestShapesAreBounded(t *testing.T) {
	t.Parallel()
	var s shapes
	seen := []mirror.Seen{{Endpoint: "POST /a", Leg: parallax.Candidate, Live: true}}
	for i := range uint64(10_000) {
		s.add(effects.Shape{Stamp: parallax.Stamp{Endpoint: "POST /a"}, Changes: map[effects.Kind]uint64{
			{Table: "orders", Op: parallax.Insert}: i%500 + 1, {Table: fmt.Sprint(i), Op: parallax.Insert}: 1,
		}})
		s.next("shop", seen)
	}
	e := s.endpoints["POST /a"]
	if len(e.kinds) != maxKinds || len(e.fresh) > maxKinds {
		t.Errorf("%d kinds, %d fresh", len(e.kinds), len(e.fresh))
	}
	if k := e.kinds[effects.Kind{Table: "orders", Op: parallax.Insert}]; len(k.sizes) > maxSizes || k.sum > manySum {
		t.Errorf("%d sizes, of %v", len(k.sizes), k.sum)
	}
}

// TestWritesOnASharedDatabaseAreCountedByLeg: what both versions write to one PostgreSQL for
// different users is in the ticks, by table; the primary's is counted only once somebody met
// the candidate, and a candidate that leaves a row out is seen.
func TestWritesOnASharedDatabaseAreCountedByLeg(t *testing.T) {
	t.Parallel()
	w := newWriter(t, "orders", "order_items", "total", "order_id", 1, true)
	address := freeAddress(t)
	p := rig.Start(t, fmt.Sprintf(`
store: { listen: %q }
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%[2]q] }
  candidate: { urls: [%[2]q], state: shared }
  endpoints: ["POST /orders"]
  split: { key: "header:X-User", salt: s, pin: { ann: candidate } }
  effects:
    settle: 100ms
    primary:   [{ postgres: %[3]q, tables: [orders, order_items] }]
    candidate: [{ postgres: %[3]q, tables: [orders, order_items] }]
`, address, w.url, w.server.DSN("postgres")))
	untilRead(t, p)
	send := func(user, query string, times int) {
		for range times {
			request, err := http.NewRequestWithContext(t.Context(), "POST", p.Services["shop"]+"/orders"+query, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-User", user)
			answer, err := http.DefaultClient.Do(request)
			if err != nil || answer.StatusCode != http.StatusCreated {
				t.Fatalf("%s: %v, %v", user, answer, err)
			}
			answer.Body.Close()
		}
	}
	counted := func(primary, candidate uint64) (sum map[string]divergence.LiveWrite) {
		rig.Eventually(t, "what was written", func() error {
			var read [2]uint64
			var err error
			if sum, read, err = writesIn(address); err != nil || read != [2]uint64{primary, candidate} {
				return fmt.Errorf("%v were read, want %d and %d; %w", read, primary, candidate, err)
			}
			return nil
		})
		return sum
	}
	send("bob", "", 2) // nobody met the candidate yet
	send("ann", "", 1)
	send("bob", "", 25)
	counted(25, 1)
	send("bob", "", 25)
	counted(50, 1)
	before := counted(50, 1)["order_items insert"]
	send("bob", "", 4)
	send("ann", "?defect=no_item", 3)
	after := counted(54, 4)
	items, orders := after["order_items insert"], after["orders insert"]
	if got := items.Candidate.None - before.Candidate.None; got != 3 || items.Primary.None != 0 || orders.Candidate.None != 0 || orders.Primary.Other+orders.Candidate.Other != 0 || orders.Candidate.Sized != 3 {
		t.Errorf("%+v and before %+v", after, before)
	}
	if _, unread, err := writesIn(address); err != nil {
		t.Error(unread, err)
	}
}

// writesIn adds up what the ticks of the store at an address say of writes.
func writesIn(address string) (sum map[string]divergence.LiveWrite, read [2]uint64, err error) {
	query := "SELECT live_primary, live_candidate, live_writes FROM ticks FINAL WHERE notEmpty(live_primary) OR notEmpty(live_candidate) FORMAT JSONCompactEachRow"
	answer, err := http.Get("http://" + address + "/?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, read, err
	}
	defer answer.Body.Close()
	sum = map[string]divergence.LiveWrite{}
	for rows := json.NewDecoder(answer.Body); ; {
		var row [3]json.RawMessage
		if err := rows.Decode(&row); err == io.EOF {
			return sum, read, nil
		} else if err != nil {
			return nil, read, err
		}
		for leg := range read {
			var list []json.Number
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(row[leg]), `"`, "")), &list); err != nil {
				return nil, read, err
			}
			if len(list) == 6 {
				n, _ := list[4].Int64()
				read[leg] += uint64(n)
			}
		}
		var text string
		if err := json.Unmarshal(row[2], &text); err != nil || text == "" {
			continue
		}
		var writes []divergence.LiveWrite
		if err := json.Unmarshal([]byte(text), &writes); err != nil {
			return nil, read, err
		}
		for _, l := range writes {
			all := sum[l.Table+" "+l.Op]
			all.Primary, all.Candidate = all.Primary.Plus(l.Primary), all.Candidate.Plus(l.Candidate)
			sum[l.Table+" "+l.Op] = all
		}
	}
}
