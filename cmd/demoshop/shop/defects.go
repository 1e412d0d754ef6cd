package shop

import (
	"fmt"
	"slices"
	"strings"

	"parallax/cmd/demoshop/shop/internal/newshop"
)

// Defect is something the new version does wrong where it is asked to.
type Defect struct {
	Name   string
	Does   string // what the new version does
	Routes []string
	Table  string // of the new version, in which it shows; empty where it shows in none
	Column string // empty: whole rows are missing, or too many
	Shows  string // how
}

// Defects lists the defects that can be switched on.
func Defects() []Defect {
	return []Defect{
		{
			Name: string(newshop.Rounding), Does: "cuts the VAT that a total contains to whole cents, instead of rounding it",
			Routes: []string{"POST /orders", "PATCH /orders/{id}"}, Table: "purchases", Column: "vat",
			Shows: "a cent less than orders.vat_cents, in about every other order; no answer shows it",
		},
		{
			Name: string(newshop.MissingAudit), Does: "writes nothing into the journal when an order is cancelled",
			Routes: []string{"POST /orders/{id}/cancel"}, Table: "journal",
			Shows: "the row that audit_log has is missing",
		},
		{
			Name: string(newshop.WrongKey), Does: "books the moves of all items of an order on the first of them",
			Routes: []string{"POST /orders", "PATCH /orders/{id}", "POST /orders/{id}/cancel"}, Table: "inventory_moves", Column: "item_no",
			Shows: "refers to another item than stock_moves.order_item_id, where two items of an order or more move",
		},
		{
			Name: string(newshop.LostUpdate), Does: "adds the points of a payment to those that the customer had when logging in",
			Routes: []string{"POST /orders/{id}/pay"}, Table: "accounts", Column: "bonus",
			Shows: "less than customers.points from the second payment of a session on",
		},
		{
			Name: string(newshop.Slow), Does: "reads a page of orders with a query for each order and two for each item",
			Routes: []string{"GET /orders"},
			Shows:  "in how long the answer takes",
		},
		{
			Name: string(newshop.ChangedField), Does: "writes and answers the currency in small letters",
			Routes: []string{"POST /orders"}, Table: "purchases", Column: "currency",
			Shows: "eur, where orders.currency is EUR; and $.currency of every answer with an order that was placed so",
		},
		{
			Name: string(newshop.DoubleMail), Does: "writes and sends the receipt of a payment twice",
			Routes: []string{"POST /orders/{id}/pay"}, Table: "messages",
			Shows: "one row more than mails has, and one POST more to --mail",
		},
	}
}

// parseDefects reads the names of defects.
func parseDefects(names []string) (newshop.Defects, error) {
	known := make([]string, 0, len(Defects()))
	for _, d := range Defects() {
		known = append(known, d.Name)
	}
	out := newshop.Defects{}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no defect %q: write one of %s", name, strings.Join(known, ", "))
		}
		out[newshop.Defect(name)] = true
	}
	return out, nil
}
