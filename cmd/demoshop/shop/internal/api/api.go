// Package api is the shop as its callers see it: the routes, and the JSON that
// both versions take and answer. What happens behind it is a [Version]'s business.
package api

import (
	"context"
	"time"
)

// Version is one version of the shop behind the routes. Its errors are a [Fault]
// where the caller is to blame or to know. Its answers may only be used when the
// error is nil.
type Version interface {
	Accounts
	Catalogue
	Orders
}

// Accounts keeps customers and their sessions.
type Accounts interface {
	Register(context.Context, Registration) (Customer, error)
	LogIn(context.Context, Credentials) (Session, error)
	LogOut(context.Context, Visitor) error
	// Visitor returns who has the session with a token.
	Visitor(ctx context.Context, token string) (Visitor, error)
}

// Catalogue knows what can be ordered.
type Catalogue interface {
	Products(context.Context) ([]Product, error)
}

// Orders takes and keeps orders. Nobody sees the orders of another customer.
type Orders interface {
	Place(context.Context, Visitor, NewOrder) (Order, error)
	Order(ctx context.Context, who Visitor, id int64) (Order, error)
	// List returns up to limit orders, the highest ids first, from a cursor on.
	List(ctx context.Context, who Visitor, cursor string, limit int) (Page, error)
	Change(ctx context.Context, who Visitor, id int64, c Change) (Order, error)
	Cancel(ctx context.Context, who Visitor, id int64) (Order, error)
	Pay(ctx context.Context, who Visitor, id int64, p Payment) (Order, error)
}

// Registration is what a new customer says.
type Registration struct {
	Email    string `json:"email"`
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Customer is somebody with an account.
type Customer struct {
	ID    int64  `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

// Credentials open a session.
type Credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// Session lets its holder order. The token goes into the header Authorization,
// after "Bearer ".
type Session struct {
	Token      string `json:"token"`
	CustomerID int64  `json:"customer_id"`
}

// Visitor is who asks.
type Visitor struct {
	Token    string
	Customer int64
}

// Product is one thing to order.
type Product struct {
	SKU        string `json:"sku"`
	Name       string `json:"name"`
	PriceCents int64  `json:"price_cents"` // with VAT
	Available  bool   `json:"available"`
}

// Line asks for a quantity of a product.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Address is where an order goes.
type Address struct {
	Name     string `json:"name"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
	Country  string `json:"country"` // ISO 3166, two letters
}

// NewOrder is an order as it is placed.
type NewOrder struct {
	Items   []Line   `json:"items"` // of different products
	Note    string   `json:"note"`
	Address Address  `json:"address"`
	Tags    []string `json:"tags"`
}

// Change says what is different about an order that was not paid yet. Items are
// lines of the order with their new quantities.
type Change struct {
	Items   []Line   `json:"items"`
	Note    *string  `json:"note"`
	Address *Address `json:"address"`
}

// Payment pays an order in full.
type Payment struct {
	Method      string `json:"method"` // card or invoice
	AmountCents int64  `json:"amount_cents"`
}

// The states of an order.
const (
	Placed    = "placed"
	Paid      = "paid"
	Cancelled = "cancelled"
)

// Order is an order as it is answered.
type Order struct {
	ID         int64     `json:"id"`
	CustomerID int64     `json:"customer_id"`
	Status     string    `json:"status"`
	Currency   string    `json:"currency"`
	TotalCents int64     `json:"total_cents"`
	Items      []Item    `json:"items"` // by SKU
	Note       string    `json:"note"`
	Address    Address   `json:"address"`
	Tags       []string  `json:"tags"`
	PlacedAt   time.Time `json:"placed_at"`
}

// Item is one line of an order.
type Item struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	UnitCents int64  `json:"unit_cents"`
	LineCents int64  `json:"line_cents"`
}

// Page is a part of a list.
type Page struct {
	Orders     []Order `json:"orders"`
	NextCursor string  `json:"next_cursor"` // opaque; empty on the last page
}

// Health is what GET /healthz answers.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}
