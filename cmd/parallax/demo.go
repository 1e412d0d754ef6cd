package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"parallax/cmd/parallax/internal/demo"
)

const demoUsage = "demo [--for 90s] [--exit] [--json] [--rate N] [--dir DIR] [--listen ADDRESS] [--no-open] [--shop [--defect NAME,...|none]]"

// runDemo is the verb demo.
func runDemo(ctx context.Context, e env, args []string) int {
	set := e.flags("demo", demoUsage)
	var o demo.Options
	set.DurationVar(&o.For, "for", demo.DefaultFor, "how long requests are sent")
	set.BoolVar(&o.Exit, "exit", false, "end when they were sent, instead of leaving the page open")
	set.BoolVar(&o.JSON, "json", false, "print one JSON document")
	set.Float64Var(&o.Rate, "rate", demo.DefaultRate, "requests a second")
	set.StringVar(&o.Dir, "dir", "", "keep the data in `DIR`")
	set.StringVar(&o.Listen, "listen", "", "`ADDRESS` of the page")
	set.BoolVar(&o.NoOpen, "no-open", false, "do not open the page in a browser")
	inShop := set.Bool("shop", false, "show side effects: an order service in two versions, each with a PostgreSQL database")
	defects := set.String("defect", strings.Join(demo.PlantedDefects(), ","), "with --shop: what the new version does wrong; none for nothing")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() > 0 {
		return e.misuse(demoUsage, "demo takes no argument %q", set.Arg(0))
	}
	world := demo.World{Getenv: e.getenv, Stdout: e.stdout, Stderr: e.stderr, Start: startForDemo}
	run := func() (bool, error) { return demo.Run(ctx, o, world) }
	if *inShop {
		run = func() (bool, error) { return demo.RunShop(ctx, shopOptions(set, o), namesOf(*defects), world) }
	}
	good, err := run()
	switch {
	case err != nil:
		return e.fail("%v", err)
	case !good:
		return exitNot
	}
	return exitGood
}

// shopOptions has the shop's own defaults where nothing was said.
func shopOptions(set *flag.FlagSet, o demo.Options) demo.Options {
	said := map[string]bool{}
	set.Visit(func(f *flag.Flag) { said[f.Name] = true })
	if !said["for"] {
		o.For = demo.DefaultShopFor
	}
	if !said["rate"] {
		o.Rate = demo.DefaultShopRate
	}
	return o
}

// namesOf reads names with commas between them; none is no name.
func namesOf(list string) []string {
	if list == "none" || list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// startForDemo starts a whole Parallax in this process, by the way that serve
// takes.
func startForDemo(_ context.Context, file string, logs io.Writer) (stop func(context.Context) error, err error) {
	cfg, faults, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("the demo's own configuration has faults: %w", errors.Join(asErrors(faults)...))
	}
	s, err := newServer(cfg, slog.New(slog.NewTextHandler(logs, nil)), nil)
	if err != nil {
		return nil, err
	}
	running := background(s.Run)
	return func(ctx context.Context) error {
		running.cancel()
		select {
		case <-running.ended:
			return running.err
		case <-ctx.Done():
			return fmt.Errorf("parallax did not stop in time: %w", ctx.Err())
		}
	}, nil
}

func asErrors[E error](list []E) []error {
	out := make([]error, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}
