package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"

	"parallax/cmd/demoshop/shoppers"
)

// send sends shoppers until ctx ends, or each has made the visits that were asked for. It
// returns 0 when none complained, 1 when one did, 2 for wrong arguments.
func send(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := shoppersOf(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	transport := &http.Transport{MaxIdleConnsPerHost: o.Count}
	defer transport.CloseIdleConnections()
	o.HTTP = transport
	_, _ = fmt.Fprintf(stdout, "%d shoppers go to %s\n", o.Count, o.Base)
	seen := shoppers.Run(ctx, o)
	_, _ = fmt.Fprintf(stdout, "%d requests, %d complaints\n", seen.Sent, seen.Errors)
	for _, example := range seen.Examples {
		_, _ = fmt.Fprintln(stdout, " ", example)
	}
	if seen.Errors > 0 {
		return 1
	}
	return 0
}

func shoppersOf(args []string, stderr io.Writer) (o shoppers.Options, err error) {
	set := flag.NewFlagSet("demoshop shoppers", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.Base, "shop", "", "`URL` of the shop, or of what stands in front of it")
	set.IntVar(&o.Count, "count", 8, "how many there are")
	set.Float64Var(&o.Rate, "rate", 20, "requests a second of all together; 0: as fast as answers come")
	set.Uint64Var(&o.Seed, "seed", 1, "what they do, and are called")
	set.IntVar(&o.Visits, "visits", 0, "how often each comes; 0: until they are stopped")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 || o.Base == "" || o.Count < 1 || o.Rate < 0 || o.Visits < 0 {
		set.Usage()
		return o, errors.New("wrong arguments")
	}
	return o, nil
}
