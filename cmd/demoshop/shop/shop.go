package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
	"parallax/cmd/demoshop/shop/internal/newshop"
	"parallax/cmd/demoshop/shop/internal/oldshop"
)

// Options say which shop is opened.
type Options struct {
	Version  string   // old or new
	DSN      string   // of a PostgreSQL database
	Data     string   // own or shared; shared: the new version works on the old one's tables
	IDs      string   // own or given; given: computed from the request, so that both versions have the same
	Defects  []string // names of Defects, for the new version only
	Tag      bool     // each transaction that writes emits X-Parallax-Exchange as a logical message
	Comments bool     // each statement that writes carries the traceparent in a comment; not with Tag
	Dry      bool     // what requests with X-Parallax-Role: shadow write is rolled back
	Mail     string   // URL that mails are POSTed to; empty: they are written, and not sent
	Getenv   func(string) string
	Log      *slog.Logger
}

// The words of Options.
const (
	Old, New   = "old", "new"
	Own, Given = "own", "given"
	Shared     = "shared"
)

// check says what is wrong with the options, all at once.
func (o Options) check() error {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.Version != Old && o.Version != New, "version: unknown word %q: write old or new", o.Version)
	fault(o.DSN == "", "dsn: it is missing: write one such as postgres://user:password@127.0.0.1:5432/shop")
	fault(o.Data != Own && o.Data != Shared, "data: unknown word %q: write own or shared", o.Data)
	fault(o.IDs != Own && o.IDs != Given, "ids: unknown word %q: write own or given", o.IDs)
	fault(o.Tag && o.Comments, "tag, comments: write one of them: comments are for what cannot tag")
	fault(len(o.Defects) > 0 && o.Version == Old, "defect: the old version has none")
	_, err := parseDefects(o.Defects)
	fault(err != nil, "defect: %w", err)
	return errors.Join(faults...)
}

// Shop is a shop that is open.
type Shop struct {
	handler http.Handler
	db      *data.DB
	mail    *mailer // nil: none
}

// Open connects to the database, brings its schema up to date, and returns the
// shop. Close closes it.
func Open(ctx context.Context, o Options) (*Shop, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Shop{}
	if o.Mail != "" {
		var err error
		if s.mail, err = newMailer(o.Mail, o.Getenv); err != nil {
			return nil, err
		}
	}
	var err error
	if s.db, err = data.Open(ctx, o.DSN, data.Options{Mark: o.mark(), IDs: data.IDs(o.IDs), Dry: o.Dry}); err != nil {
		return nil, err
	}
	version, name, err := s.version(ctx, o)
	if err != nil {
		s.Close()
		return nil, err
	}
	s.handler = api.Handler(version, api.Options{Name: name, Given: o.IDs == Given, Health: s.db.Ping, Log: o.Log})
	return s, nil
}

func (o Options) mark() data.Mark {
	switch {
	case o.Tag:
		return data.Tag
	case o.Comments:
		return data.Comments
	}
	return data.Unmarked
}

// version makes the version that the options name, on its migrated database.
func (s *Shop) version(ctx context.Context, o Options) (api.Version, string, error) {
	if o.Version == Old || o.Data == Shared {
		if err := oldshop.Migrate(ctx, s.db); err != nil {
			return nil, "", err
		}
	}
	var mail interface { // nil: mails are not sent
		Send(ctx context.Context, recipient, subject, body string) error
	}
	if s.mail != nil {
		mail = s.mail
	}
	if o.Version == Old {
		return oldshop.New(s.db, mail), oldshop.Version, nil
	}
	migrate := newshop.Migrate
	if o.Data == Shared {
		migrate = newshop.MigrateShared
	}
	if err := migrate(ctx, s.db); err != nil {
		return nil, "", err
	}
	defects, err := parseDefects(o.Defects)
	if err != nil {
		return nil, "", err
	}
	return newshop.New(s.db, mail, defects), newshop.Version, nil
}

// Close gives back what the shop holds.
func (s *Shop) Close() {
	s.db.Close()
	if s.mail != nil {
		s.mail.close()
	}
}

// ServeHTTP answers one request.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Timeouts of the server. What is under way when it stops may take stopPatience.
const (
	headPatience = 10 * time.Second
	idlePatience = 2 * time.Minute
	stopPatience = 10 * time.Second
)

// Serve answers on a listener until ctx ends; then it finishes what is under way
// and returns nil. The shop stays open.
func (s *Shop) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headPatience, ReadTimeout: headPatience, IdleTimeout: idlePatience,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("cannot serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests under way did not end within %v: %w", stopPatience, err), server.Close())
	}
	<-served // http.ErrServerClosed
	return err
}
