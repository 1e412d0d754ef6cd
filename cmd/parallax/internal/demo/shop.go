package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/divergence"
	"parallax/reports"
)

// Defaults of the demo of the shop.
const (
	DefaultShopFor  = 20 * time.Second
	DefaultShopRate = 60
)

// shopService is the name of its service, customers how many come.
const (
	shopService = "shop"
	customers   = 12
)

// PlantedDefects names the defects of the shop that rows show: what is planted unless
// somebody chooses.
func PlantedDefects() []string {
	var names []string
	for _, d := range shop.Defects() {
		if d.Table != "" {
			names = append(names, d.Name)
		}
	}
	return names
}

// ShopResult is what a run of the demo of the shop found. It is what --json prints.
type ShopResult struct {
	URL     string             `json:"url"`
	Sent    int64              `json:"sent"`
	Errors  []string           `json:"errors"` // that callers saw, the first ones
	Found   []Planted          `json:"planted"`
	Others  []divergence.Issue `json:"others"` // issues that are no planted defect
	Report  reports.Report     `json:"report"`
	Written map[string]uint64  `json:"written"` // row changes by leg and how they found their exchange
	Good    bool               `json:"good"`
	Broken  []string           `json:"broken_promises"` // why Good is false
}

// RunShop runs both versions of the demo shop on databases of their own, with defects
// planted in the new one. The result is false when one was not found, or anything else
// was reported, or a caller saw an error.
func RunShop(ctx context.Context, o Options, defects []string, w World) (bool, error) {
	if err := o.check(); err != nil {
		return false, err
	}
	for _, name := range defects {
		if !slices.Contains(PlantedDefects(), name) {
			return false, fmt.Errorf("cannot plant %q: write none or some of %s", name, strings.Join(PlantedDefects(), ","))
		}
	}
	d := &shopDemo{demo: &demo{Options: o, World: w, screen: newScreen(w.Stdout)}, defects: defects}
	if o.JSON {
		d.screen = newScreen(w.Stderr)
	}
	defer d.close()
	for _, step := range []func(context.Context) error{d.startDatabases, d.startShops, d.startBetween} {
		if err := step(ctx); err != nil {
			return false, err
		}
	}
	seen := d.shop(ctx)
	result, err := d.collectShop(ctx, seen)
	if err != nil {
		return false, fmt.Errorf("cannot tell what was found: %w", err)
	}
	if err := d.tellShop(result); err != nil {
		return false, err
	}
	if !o.Exit && ctx.Err() == nil {
		d.screen.printf("\nThe page stays open on %s until you press Ctrl-C.\n", d.url())
		<-ctx.Done()
	}
	return result.Good, nil
}

// shopDemo is a run of the demo of the shop.
type shopDemo struct {
	*demo
	defects []string
	between ShopConfig
}

// startDatabases starts a server for each version.
func (d *shopDemo) startDatabases(ctx context.Context) error {
	bin, err := serverPrograms()
	if err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	var both [2]*database
	var faults [2]error
	line := func() string { return "starting two PostgreSQL servers" }
	_ = d.screen.during(line, func() error {
		var starting sync.WaitGroup
		for i := range both {
			_, port, _ := net.SplitHostPort(ports[i]) // freePorts returns host:port
			starting.Go(func() { both[i], faults[i] = startDatabase(ctx, bin, port) })
		}
		starting.Wait()
		return nil
	})
	for _, each := range both {
		if each != nil {
			d.closers = append(d.closers, each.stop)
		}
	}
	if err := errors.Join(faults[:]...); err != nil {
		return err
	}
	d.between.OldDSN, d.between.NewDSN, d.between.Proxy = both[0].dsn(), both[1].dsn(), ports[2]
	return nil
}

// startShops opens both versions and serves them in this process.
func (d *shopDemo) startShops(ctx context.Context) error {
	var err error
	if d.between.Primary, err = d.startShop(ctx, shop.Options{Version: shop.Old, DSN: d.between.OldDSN}); err != nil {
		return err
	}
	d.between.Candidate, err = d.startShop(ctx, shop.Options{Version: shop.New, DSN: d.between.NewDSN, Defects: d.defects})
	return err
}

func (d *shopDemo) startShop(ctx context.Context, o shop.Options) (string, error) {
	log := slog.New(slog.NewTextHandler(d.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	o.Data, o.IDs, o.Tag, o.Getenv, o.Log = shop.Own, shop.Own, true, d.Getenv, log
	opened, err := shop.Open(ctx, o)
	if err != nil {
		return "", fmt.Errorf("cannot open the %s shop: %w", o.Version, err)
	}
	d.closers = append(d.closers, opened.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot serve the %s shop: %w", o.Version, err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := opened.Serve(life, listener, log); err != nil {
			log.Error("shop", "version", o.Version, "err", err)
		}
	}()
	d.closers = append(d.closers, func() {
		end()
		<-served
	})
	d.screen.printf("%-9s on http://%s, database on %s\n", o.Version+" shop", listener.Addr(), o.DSN)
	return "http://" + listener.Addr().String(), nil
}

// startBetween starts Parallax in front, and waits until it reads both databases.
func (d *shopDemo) startBetween(ctx context.Context) error {
	var err error
	if d.between.Dir, err = d.folder(); err != nil {
		return err
	}
	if d.between.Admin, err = d.adminAddress(); err != nil {
		return err
	}
	text, err := d.between.Render()
	if err != nil {
		return err
	}
	d.config = filepath.Join(d.between.Dir, "shop.yaml")
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot write the demo shop's configuration: %w", err)
	}
	d.values = configValues{Dir: d.between.Dir, Admin: d.between.Admin, Proxy: d.between.Proxy}
	if err := d.startParallax(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	reading := func(text string) bool {
		return strings.Contains(text, `parallax_effects_lag_seconds{leg="primary"`) && strings.Contains(text, `parallax_effects_lag_seconds{leg="candidate"`)
	}
	text, err = until(wait, d.metrics, reading)
	if err == nil && !reading(text) {
		err = fmt.Errorf("it does not read both databases after %v (its log is in %s)", readyPatience, d.between.Dir)
	}
	return err
}

func (d *shopDemo) metrics(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url()+"/metrics", nil)
	if err != nil {
		return "", err
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// shop sends the shoppers and shows how it goes.
func (d *shopDemo) shop(ctx context.Context) (seen shoppers.Counts) {
	transport := NewTransport(customers)
	defer transport.CloseIdleConnections()
	var sent, failed atomic.Int64
	d.began = time.Now()
	line := func() string {
		passed := min(time.Since(d.began), d.For).Seconds()
		return fmt.Sprintf("%s %3.0f of %.0f s  %s requests of %d shoppers, %s errors", bar(passed/d.For.Seconds(), 16), passed, d.For.Seconds(),
			thousands(sent.Load()), customers, thousands(failed.Load()))
	}
	_ = d.screen.during(line, func() error {
		ctx, cancel := context.WithTimeout(ctx, d.For)
		defer cancel()
		seen = shoppers.Run(ctx, shoppers.Options{Base: "http://" + d.values.Proxy, Count: customers, Seed: 1, Rate: d.Rate, HTTP: transport, Seen: func(a shoppers.Answer) {
			sent.Add(1)
			if a.Err != nil {
				failed.Add(1)
			}
		}})
		return nil
	})
	d.tally.Sent.Store(seen.Sent)
	return seen
}

// collectShop waits until all is compared, and asks Parallax what it found. It does
// so even when the run was cut short.
func (d *shopDemo) collectShop(ctx context.Context, seen shoppers.Counts) (ShopResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settlePatience)
	defer cancel()
	client := newAPI(d.url())
	client.service = shopService
	report, err := until(ctx, client.reportSince(d.began), d.settled)
	if err != nil {
		return ShopResult{}, err
	}
	issues, err := until(ctx, client.issuesSince(d.began), func([]divergence.Issue) bool { return true })
	if err != nil {
		return ShopResult{}, err
	}
	r := ShopResult{URL: d.url(), Sent: seen.Sent, Errors: seen.Examples, Report: report, Written: map[string]uint64{}}
	r.Found, r.Others = Found(d.defects, issues)
	var sum divergence.EffectsSummary
	if sum, err = until(ctx, client.effects, func(s divergence.EffectsSummary) bool { return len(s.Counts) > 0 || seen.Sent == 0 }); err != nil {
		return ShopResult{}, err
	}
	for _, c := range sum.Counts {
		r.Written[c.Leg+" "+c.Count] += c.N
	}
	r.Broken = brokenShop(r)
	r.Good = len(r.Broken) == 0
	return r, nil
}

// brokenShop lists why a run is not good.
func brokenShop(r ShopResult) []string {
	list := []string{}
	for _, e := range r.Errors {
		list = append(list, "a shopper saw an error: "+e)
	}
	for _, p := range r.Found {
		if len(p.Issues) == 0 {
			list = append(list, p.Defect.Name+" was not found")
		}
	}
	for _, i := range r.Others {
		list = append(list, fmt.Sprintf("%s of %s differs, and nobody planted that", i.Path, i.Endpoint))
	}
	a := r.Report.Accounting
	if a.Received != r.Sent || a.InFlight != 0 || a.Missing() != 0 {
		list = append(list, fmt.Sprintf("shoppers sent %d requests, Parallax counted %d; %d are in flight and %d in no place", r.Sent, a.Received, a.InFlight, a.Missing()))
	}
	if a.Compared["match"] == 0 {
		list = append(list, "nothing was found equal")
	}
	if r.Written["primary tag"] == 0 || r.Written["candidate tag"] == 0 {
		list = append(list, "no write found its exchange")
	}
	return list
}

// tellShop prints the result, for people or for machines.
func (d *shopDemo) tellShop(r ShopResult) error {
	if d.JSON {
		encoder := json.NewEncoder(d.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(d.Stdout, r.text())
	return err
}

// text is the result for people.
func (r ShopResult) text() string {
	var b strings.Builder
	a := r.Report.Accounting
	fmt.Fprintf(&b, "\n%s requests: %s equal, %s different, %s not comparable\n", thousands(a.Received), thousands(a.Compared["match"]), thousands(a.Compared["diverged"]), thousands(a.Compared["not_comparable"]))
	for _, p := range r.Found {
		fmt.Fprintf(&b, "\n%s: the new version %s\n", p.Defect.Name, p.Defect.Does)
		if len(p.Issues) == 0 {
			fmt.Fprintf(&b, "  NOT FOUND at %s\n", p.Place)
		}
		for _, i := range p.Issues {
			fmt.Fprintf(&b, "  %-26s %-34s %-8s %.60s -> %.60s\n", i.Endpoint, i.Path, i.Kind, orNone(i.Primary), orNone(i.Candidate))
		}
	}
	switch {
	case r.Good && len(r.Found) == 0:
		b.WriteString("\nNo defect was planted, and nothing was reported.\n")
	case r.Good:
		fmt.Fprintf(&b, "\nEvery planted defect was found (%d of %d), and nothing else was reported.\n", len(r.Found), len(r.Found))
	}
	for _, why := range r.Broken {
		fmt.Fprintf(&b, "\nNOT AS PLANTED: %s\n", why)
	}
	return b.String()
}

// orNone is a value, or that there is none.
func orNone(value string) string {
	if value == "" {
		return "(no row)"
	}
	return value
}
