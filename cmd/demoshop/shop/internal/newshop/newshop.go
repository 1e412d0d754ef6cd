// Package newshop is the new version of the shop: the same behaviour with a schema
// of its own, and with defects where somebody asks for them.
package newshop

import (
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// Version is what the new version calls itself.
const Version = "2.0.0"

//go:embed own/*.sql shared/*.sql
var migrations embed.FS

// Migrate makes the new version's tables in a database of its own.
func Migrate(ctx context.Context, db *data.DB) error { return migrate(ctx, db, "own") }

// MigrateShared makes views in the database of the old version, whose tables are
// there.
func MigrateShared(ctx context.Context, db *data.DB) error { return migrate(ctx, db, "shared") }

func migrate(ctx context.Context, db *data.DB, folder string) error {
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	return db.Migrate(ctx, "new/"+folder, files)
}

// Postman sends a mail.
type Postman interface {
	Send(ctx context.Context, recipient, subject, body string) error
}

// Shop is the new version on its database.
type Shop struct {
	db      *data.DB
	post    Postman // nil: messages stay where they are written
	defects Defects
	bonuses bonuses
}

var _ api.Version = (*Shop)(nil)

// New returns the new version on a database that is migrated.
func New(db *data.DB, post Postman, defects Defects) *Shop {
	return &Shop{db: db, post: post, defects: defects}
}

// Register opens an account.
func (s *Shop) Register(ctx context.Context, in api.Registration) (out api.Customer, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		secret, err := tx.HashPassword(in.Password)
		if err != nil {
			return err
		}
		err = tx.Insert("accounts", []data.Cell{
			data.Col("account_no", tx.NewID("customer")),
			data.Col("login", in.Email), data.Col("full_name", in.Name), data.Col("secret", secret),
		}, "account_no, login, full_name", &out.ID, &out.Email, &out.Name)
		if data.IsDuplicate(err) {
			return api.EmailTaken
		}
		if err != nil {
			return err
		}
		note(ctx, tx, event{what: "customer.register", account: out.ID})
		return nil
	})
	return out, err
}

// LogIn opens a session.
func (s *Shop) LogIn(ctx context.Context, in api.Credentials) (out api.Session, err error) {
	var secret string
	var bonus int64
	err = s.db.QueryRow(ctx, `SELECT account_no, secret, bonus FROM accounts WHERE login = $1`, in.Email).Scan(&out.CustomerID, &secret, &bonus)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return out, api.WrongLogin
	case err != nil:
		return out, err
	}
	if fits, err := data.PasswordFits(secret, in.Password); err != nil || !fits {
		return out, errors.Join(err, api.WrongLogin)
	}
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		out.Token = tx.Token(base64.RawURLEncoding.EncodeToString)
		tx.Put("logins", []data.Cell{data.Col("key", out.Token), data.Col("account_no", out.CustomerID)})
		note(ctx, tx, event{what: "session.open", account: out.CustomerID})
		return nil
	})
	if err == nil && s.defects[LostUpdate] {
		s.bonuses.remember(out.CustomerID, bonus)
	}
	return out, err
}

// LogOut closes the visitor's session.
func (s *Shop) LogOut(ctx context.Context, who api.Visitor) error {
	return s.db.Write(ctx, func(tx *data.Tx) error {
		tx.Later(`DELETE FROM logins WHERE key = $1`, who.Token)
		note(ctx, tx, event{what: "session.close", account: who.Customer})
		return nil
	})
}

// Visitor returns who has the session with a token.
func (s *Shop) Visitor(ctx context.Context, token string) (api.Visitor, error) {
	who := api.Visitor{Token: token}
	err := s.db.QueryRow(ctx, `SELECT account_no FROM logins WHERE key = $1`, token).Scan(&who.Customer)
	if errors.Is(err, pgx.ErrNoRows) {
		err = api.NoSession
	}
	return who, err
}

// Products lists the articles.
func (s *Shop) Products(ctx context.Context) ([]api.Product, error) {
	rows, err := s.db.Query(ctx, `
		SELECT code, title, price::bigint, available > 0
		FROM articles JOIN inventory USING (code)
		ORDER BY code`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[api.Product])
}

// event is one entry of the journal.
type event struct {
	what     string
	account  int64
	purchase int64 // 0: none
}

// note writes an event into the journal.
func note(ctx context.Context, tx *data.Tx, e event) {
	row := []data.Cell{data.Col("entry", tx.NewUUID("audit")), data.Col("account_no", e.account), data.Col("event", e.what)}
	if e.purchase != 0 {
		row = append(row, data.Col("purchase_no", e.purchase))
	}
	if request := data.From(ctx).Exchange; request != "" {
		row = append(row, data.Col("request_id", request))
	}
	tx.Put("journal", row)
}
