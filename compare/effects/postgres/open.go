package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Open connects to the source's database for questions, with the settings that every
// connection of Parallax has: values are written in one form, whatever the role or the
// database was given.
func (s Source) Open(ctx context.Context) (*pgx.Conn, error) {
	src, faults := Source{DSN: s.DSN, Tables: []string{"any"}}.parse()
	if len(faults) > 0 {
		return nil, faults[0]
	}
	conn, _, err := src.connect(ctx)
	return conn, err
}

// Hidden returns an error of the source's database without the password.
func (s Source) Hidden(err error) error {
	src, _ := s.parse() // without a connection string there is no secret
	return src.hidden(err)
}

// Code returns the SQLSTATE that a server answered with, or "".
func Code(err error) string { return code(err) }

// TableSQL returns a table's name, written as [TableName] takes it, as a statement
// needs it.
func TableSQL(s string) (string, error) {
	n, err := parseName(s)
	if err != nil {
		return "", err
	}
	return n.sql(), nil
}
