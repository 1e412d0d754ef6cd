package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"parallax/cmd/demoshop/shop"
)

const usage = `demoshop is a small order service in two versions, to try Parallax with.

usage: demoshop --version old|new --listen ADDRESS --dsn DSN
                [--data own|shared] [--ids own|given] [--defect NAME,...]
                [--tag|--comments] [--dry] [--mail URL]
       demoshop shoppers --shop URL [--count N] [--rate N] [--seed N]

`

// run is the whole program. It returns the exit code: 0 when it was stopped, 1 when
// it could not go on, 2 for wrong arguments.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "shoppers" {
		return send(ctx, args[1:], stdout, stderr)
	}
	o, listen, err := arguments(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if o.DSN == "" {
		o.DSN = getenv("DEMOSHOP_DSN")
	}
	o.Getenv, o.Log = getenv, slog.New(slog.NewTextHandler(stderr, nil))
	if err := serve(ctx, o, listen, stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "demoshop: %v\n", err)
		return 1
	}
	return 0
}

func arguments(args []string, stderr io.Writer) (o shop.Options, listen string, err error) {
	set := flag.NewFlagSet("demoshop", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.Version, "version", "", "old or new")
	set.StringVar(&listen, "listen", "127.0.0.1:8000", "`ADDRESS` to listen on")
	set.StringVar(&o.DSN, "dsn", "", "PostgreSQL database to work on; or in DEMOSHOP_DSN, where other users of the machine do not see it")
	set.StringVar(&o.Data, "data", shop.Own, "own: the version has its own tables; shared: new works on the tables of old, in the same database")
	set.StringVar(&o.IDs, "ids", shop.Own, "own: the version makes up ids and session tokens; given: they are computed from the request's Idempotency-Key, else X-Parallax-Exchange")
	set.Func("defect", "what the new version does wrong: a `NAME` of the list below, or several with commas between them", func(text string) error {
		o.Defects = append(o.Defects, strings.Split(text, ",")...)
		return nil
	})
	set.BoolVar(&o.Tag, "tag", false, "mark each transaction that writes: pg_logical_emit_message(true, 'parallax', X-Parallax-Exchange)")
	set.BoolVar(&o.Comments, "comments", false, "mark each statement that writes: /*traceparent='...'*/, and nothing else")
	set.BoolVar(&o.Dry, "dry", false, "roll back what requests with X-Parallax-Role: shadow write, and mail nothing for them")
	set.StringVar(&o.Mail, "mail", "", "`URL` that mails are POSTed to as JSON, through HTTP_PROXY or HTTPS_PROXY; none are sent without")
	set.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		set.PrintDefaults()
		writeDefects(stderr)
	}
	if err := set.Parse(args); err != nil {
		return o, listen, err
	}
	if set.NArg() > 0 {
		err := fmt.Errorf("unknown argument %q", set.Arg(0))
		_, _ = fmt.Fprintf(stderr, "demoshop: %v\n", err)
		return o, listen, err
	}
	return o, listen, nil
}

// writeDefects says what can be wrong with the new version, and where that shows.
func writeDefects(w io.Writer) {
	_, _ = fmt.Fprint(w, "\ndefects:\n")
	for _, d := range shop.Defects() {
		place := "no table"
		switch {
		case d.Column != "":
			place = d.Table + "." + d.Column
		case d.Table != "":
			place = d.Table
		}
		_, _ = fmt.Fprintf(w, "  %s\n    \t%s\n    \tshows in %s: %s\n    \tby %s\n", d.Name, d.Does, place, d.Shows, strings.Join(d.Routes, ", "))
	}
}

// serve opens the shop, and answers until ctx ends.
func serve(ctx context.Context, o shop.Options, listen string, stdout io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	s, err := shop.Open(ctx, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.Close()
	_, _ = fmt.Fprintf(stdout, "the %s shop is open on http://%s\n", o.Version, l.Addr())
	return s.Serve(ctx, l, o.Log)
}
