package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"parallax"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Source is one database to read, and what to read of it.
type Source struct {
	DSN         string   // of the primary server, not of a pooler; its role needs REPLICATION
	Tables      []string // as people write them; see [TableName]
	Publication string   // "parallax" when empty
	MaxLag      int64    // bytes of log that the server may have to keep for the reader; 0: [DefaultMaxLag]
}

// DefaultPublication is the publication that is used, and made where that is
// allowed, when a source names none.
const DefaultPublication = "parallax"

// DefaultMaxLag is how many bytes of its log a server has to keep for a reader before that
// gives its slot up.
const DefaultMaxLag = 10 << 30

const (
	connectTimeout = 10 * time.Second
	askTimeout     = 5 * time.Second // for one question to the catalogue
)

// source is a Source that was checked.
type source struct {
	config      *pgx.ConnConfig
	tables      []name // each once
	publication string
	secret      string // the password
	maxLag      int64  // bytes
}

// Validate returns what is wrong with a source as it is written; [Check] asks the
// database. Paths are postgres, tables[i] and publication.
func (s Source) Validate() []parallax.Fault {
	_, faults := s.parse()
	return faults
}

func (s Source) parse() (source, []parallax.Fault) {
	out, faults := s.read()
	if len(s.Tables) == 0 {
		faults = append(faults, parallax.Fault{Path: "tables", Text: "names no table", Hint: "list the tables whose rows are to be compared"})
	}
	return out, faults
}

// read is parse for what needs no tables.
func (s Source) read() (source, []parallax.Fault) {
	out := source{publication: s.Publication, maxLag: cmp.Or(s.MaxLag, DefaultMaxLag)}
	var faults []parallax.Fault
	config, err := pgx.ParseConfig(s.DSN)
	if err != nil {
		// The library's words may quote a part of the password.
		faults = append(faults, dsnFault(s.DSN, err))
	} else {
		out.configure(config)
	}
	for i, each := range s.Tables {
		n, err := parseName(each)
		switch {
		case err != nil:
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("tables[%d]", i), Text: err.Error()})
		case slices.Contains(out.tables, n):
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("tables[%d]", i), Text: n.String() + " is listed twice"})
		default:
			out.tables = append(out.tables, n)
		}
	}
	if out.publication == "" {
		out.publication = DefaultPublication
	}
	if s.MaxLag < 0 {
		faults = append(faults, parallax.Fault{Path: "max_lag", Text: fmt.Sprintf("%d is negative", s.MaxLag), Hint: "10GiB is the default"})
	}
	if len(out.publication) > 63 || strings.ContainsRune(out.publication, 0) {
		faults = append(faults, parallax.Fault{Path: "publication", Text: "PostgreSQL's names have at most 63 bytes"})
	}
	return out, faults
}

// dsnFault says what is wrong with a connection string. Of what the library says only
// the words about files that TLS needs are shown.
func dsnFault(dsn string, err error) parallax.Fault {
	f := parallax.Fault{Path: "postgres", Text: "is not a connection string of PostgreSQL",
		Hint: "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded"}
	var file *fs.PathError
	if u, wrong := url.Parse(dsn); wrong == nil && u.Host != "" && errors.As(err, &file) {
		f.Text, f.Hint = "names a file that cannot be read: "+file.Error(), "correct sslrootcert, sslcert, sslkey or passfile"
	}
	return f
}

// ready is parse with its faults as one error.
func (s Source) ready() (source, error) {
	src, faults := s.parse()
	return src, asError(faults)
}

func asError(faults []parallax.Fault) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// configure sets what every connection of Parallax has. A session's own settings
// win over those that a role or a database was given, so that no time limit meant
// for others ends them, and values are written in one form.
func (s *source) configure(config *pgx.ConnConfig) {
	s.config = config
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"client_encoding": "UTF8", "DateStyle": "ISO, YMD", "TimeZone": "UTC", "IntervalStyle": "iso_8601", "bytea_output": "hex",
		"extra_float_digits": "1", "statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
		"synchronous_commit": "local", // what Position writes waits for no standby
		"search_path":        "pg_catalog",
	})
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "parallax"
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.MaxProtocolMessageBodyLen = maxMessage
	s.secret = config.Password
	if several(config) && config.ValidateConnect == nil {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
}

// several says whether a connection string names more than one server: then the
// primary among them is meant.
func several(config *pgx.ConnConfig) bool {
	return slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port })
}

// hosts returns a configuration for each host of the connection string: the
// connection that asks and the one that reads must be of the same server.
func (s *source) hosts() []*pgx.ConnConfig {
	one := s.config.Copy()
	one.Fallbacks = nil
	out := []*pgx.ConnConfig{one}
	for _, each := range s.config.Fallbacks {
		other := one.Copy()
		other.Host, other.Port, other.TLSConfig = each.Host, each.Port, each.TLSConfig
		out = append(out, other)
	}
	return out
}

// connect opens a connection for questions to the first host that takes it, and
// returns the configuration of that host.
func (s *source) connect(ctx context.Context) (*pgx.Conn, *pgx.ConnConfig, error) {
	var errs []error
	for _, config := range s.hosts() {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn, config, nil
		}
		if !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err) // One server is tried with TLS and without.
		}
	}
	err := s.hidden(errors.Join(errs...))
	if f, ok := err.(*failure); ok && f.server == nil {
		f.away = !slices.ContainsFunc(errs, func(err error) bool { return !unreached(err) })
	}
	return nil, nil, err
}

// unreached reports whether an error says that no server was there to answer.
func unreached(err error) bool {
	var network *net.OpError
	var names *net.DNSError
	return errors.As(err, &network) || errors.As(err, &names) || errors.Is(err, context.DeadlineExceeded)
}

// hidden returns an error without the secrets of the connection string.
func (s *source) hidden(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	text := err.Error()
	if s.secret != "" {
		text = strings.ReplaceAll(text, s.secret, "xxxxx")
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return &failure{text: text, server: server}
	}
	return &failure{text: text}
}

// failure is an error whose words may be shown. Of what it came from it only keeps
// the server's code.
type failure struct {
	text   string
	server *pgconn.PgError
	away   bool // nobody answered
}

// Error returns the words.
func (f *failure) Error() string { return f.text }

// code returns the SQLSTATE that the server answered with, or "".
func code(err error) string {
	var server *pgconn.PgError
	var f *failure
	switch {
	case errors.As(err, &server):
		return server.Code
	case errors.As(err, &f) && f.server != nil:
		return f.server.Code
	}
	return ""
}

// Where returns the place of the database without secrets, such as
// shop@db1:5432/orders, or "" for what is not a connection string.
func (s Source) Where() string {
	config, err := pgx.ParseConfig(s.DSN)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s@%s:%d/%s", config.User, config.Host, config.Port, config.Database)
}
