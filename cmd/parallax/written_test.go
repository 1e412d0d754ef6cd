package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/internal/rig"
)

// TestWhatTheCandidateWroteIsListedAfterARollback: both versions share a database, the
// candidate is live for everybody and then for nobody; what it was told to write is listed,
// row by row, and nothing of the primary's, also after a restart.
func TestWhatTheCandidateWroteIsListedAfterARollback(t *testing.T) {
	t.Parallel()
	w := newWriter(t, "orders", "order_items", "total", "order_id", 1, false)
	dsn := w.server.DSN("postgres")
	dir, config := t.TempDir(), fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%[1]q] }
  candidate: { urls: [%[1]q], state: shared }
  endpoints: ["POST /orders", "POST /orders/{id}/items"]
  split: { key: "header:X-User", salt: s, endpoints: ["POST *"] }
  effects:
    primary:   [{ postgres: %[2]q, tables: [orders, order_items] }]
    candidate: [{ postgres: %[2]q, tables: [orders, order_items] }]
`, w.url, dsn)
	p := rig.StartIn(t, dir, config)
	untilRead(t, p)
	order(t, p, "") // of the primary
	step := func(method, path, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, p.Admin+"/api/v1/services/shop/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s", method, path, answer.Status)
		}
	}
	step("PUT", "step", `{"step":10000,"reason":"everybody"}`)
	first, second := order(t, p, ""), order(t, p, "")
	call(t, p, "POST", fmt.Sprintf("/orders/%d/items", first), "{}", 201)
	step("POST", "rollback", `{"reason":"it pages people"}`)
	order(t, p, "") // of the primary again

	want := []string{
		fmt.Sprintf("order_items order_id %d sku ink", first), fmt.Sprintf("order_items order_id %d sku paper", first),
		fmt.Sprintf("order_items order_id %d sku ink", second),
		fmt.Sprintf("orders %d total 10.00", first), fmt.Sprintf("orders %d total 10.00", second),
	}
	listed := func() {
		t.Helper()
		rig.Eventually(t, "what the candidate wrote", func() error {
			var got divergence.Written
			if err := p.JSON("/api/v1/services/shop/written", &got); err != nil {
				return err
			}
			found := map[string]bool{}
			for _, r := range got.Rows {
				found[rowText(r)] = true
			}
			all := map[string]bool{}
			for _, row := range want {
				all[row] = true
			}
			if d := cmp.Diff(all, found); d != "" || got.Unlisted > 0 || len(got.Rows) != len(want) {
				return fmt.Errorf("%d rows, %d unlisted; (-want +got)\n%s", len(got.Rows), got.Unlisted, d)
			}
			return nil
		})
	}
	listed()
	p.Stop()
	p = rig.StartIn(t, dir, config)
	listed()
}

// rowText says which row it is and what stands in it.
func rowText(r divergence.WrittenRow) string {
	values := map[string]string{}
	for _, c := range r.After {
		if c.Value != nil {
			values[c.Name] = *c.Value
		}
	}
	if r.Table == "orders" {
		return fmt.Sprintf("orders %s total %s", values["id"], values["total"])
	}
	return fmt.Sprintf("%s order_id %s sku %s", r.Table, values["order_id"], values["sku"])
}
