// Package oldshop is the old version of the shop: the one in use.
package oldshop

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// Version is what the old version calls itself.
const Version = "1.41.0"

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the old version's tables.
func Migrate(ctx context.Context, db *data.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return db.Migrate(ctx, "old", files)
}

// Mailer sends a mail.
type Mailer interface {
	Send(ctx context.Context, recipient, subject, body string) error
}

// Shop is the old version on its database.
type Shop struct {
	db   *data.DB
	mail Mailer // nil: mails stay where they are written
}

var _ api.Version = (*Shop)(nil)

// New returns the old version on a database that is migrated.
func New(db *data.DB, mail Mailer) *Shop { return &Shop{db, mail} }

// Register makes an account.
func (s *Shop) Register(ctx context.Context, in api.Registration) (api.Customer, error) {
	out := api.Customer{Email: in.Email, Name: in.Name}
	err := s.db.Write(ctx, func(tx *data.Tx) error {
		hash, err := tx.HashPassword(in.Password)
		if err != nil {
			return err
		}
		err = tx.Insert("customers", []data.Cell{
			data.Col("id", tx.NewID("customer")),
			data.Col("email", in.Email), data.Col("name", in.Name), data.Col("password", hash),
		}, "id", &out.ID)
		if data.IsDuplicate(err) {
			return api.EmailTaken
		}
		if err != nil {
			return err
		}
		audit(ctx, tx, "customer.register", out.ID, nil)
		return nil
	})
	return out, err
}

// LogIn opens a session.
func (s *Shop) LogIn(ctx context.Context, in api.Credentials) (api.Session, error) {
	var out api.Session
	var kept string
	err := s.db.QueryRow(ctx, `SELECT id, password FROM customers WHERE email = $1`, in.Email).Scan(&out.CustomerID, &kept)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, api.WrongLogin
	}
	if err != nil {
		return out, err
	}
	if fits, err := data.PasswordFits(kept, in.Password); err != nil || !fits {
		return out, errors.Join(err, api.WrongLogin)
	}
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		out.Token = tx.Token(hex.EncodeToString)
		tx.Put("sessions", []data.Cell{data.Col("token", out.Token), data.Col("customer_id", out.CustomerID)})
		audit(ctx, tx, "session.open", out.CustomerID, nil)
		return nil
	})
	return out, err
}

// LogOut closes the visitor's session.
func (s *Shop) LogOut(ctx context.Context, who api.Visitor) error {
	return s.db.Write(ctx, func(tx *data.Tx) error {
		tx.Later(`DELETE FROM sessions WHERE token = $1`, who.Token)
		audit(ctx, tx, "session.close", who.Customer, nil)
		return nil
	})
}

// Visitor returns who has the session with a token.
func (s *Shop) Visitor(ctx context.Context, token string) (api.Visitor, error) {
	who := api.Visitor{Token: token}
	err := s.db.QueryRow(ctx, `SELECT customer_id FROM sessions WHERE token = $1`, token).Scan(&who.Customer)
	if errors.Is(err, pgx.ErrNoRows) {
		return who, api.NoSession
	}
	return who, err
}

// Products lists what can be ordered.
func (s *Shop) Products(ctx context.Context) ([]api.Product, error) {
	rows, err := s.db.Query(ctx, `SELECT sku, name, price_cents, on_hand > 0 FROM products JOIN stock USING (sku) ORDER BY sku`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[api.Product])
}

// audit notes who did what.
func audit(ctx context.Context, tx *data.Tx, action string, customer int64, order *int64) {
	var request *string
	if id := data.From(ctx).Exchange; id != "" {
		request = &id
	}
	tx.Put("audit_log", []data.Cell{
		data.Col("id", tx.NewUUID("audit")),
		data.Col("customer_id", customer), data.Col("order_id", order),
		data.Col("action", action), data.Col("request_id", request),
	})
}
