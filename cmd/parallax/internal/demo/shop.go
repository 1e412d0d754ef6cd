package demo

import (
	"context"
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

// PlantedDefects names the defects of the shop, which are all planted unless somebody
// chooses.
func PlantedDefects() []string {
	var names []string
	for _, d := range shop.Defects() {
		names = append(names, d.Name)
	}
	return names
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
	for _, step := range []func(context.Context) error{d.startDatabases, d.startMail, d.startShops, d.startBetween} {
		switch err := step(ctx); {
		case err != nil && ctx.Err() != nil:
			return false, errors.New("the demo was ended before it began")
		case err != nil:
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
	mail    *mailSink
	paid    atomic.Int64
}

// startDatabases starts a server for each version.
func (d *shopDemo) startDatabases(ctx context.Context) error {
	bin, err := serverPrograms()
	if err != nil {
		return err
	}
	ports, err := freePorts(4)
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
	d.between.OldDSN, d.between.NewDSN, d.between.Proxy, d.between.Egress = both[0].dsn(), both[1].dsn(), ports[2], ports[3]
	return nil
}

// startMail starts what the shop's mails are sent to.
func (d *shopDemo) startMail(context.Context) (err error) {
	if d.mail, err = startMailSink(); err != nil {
		return err
	}
	d.closers = append(d.closers, d.mail.stop)
	d.between.Mail = d.mail.addr
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
	leg := map[string]string{shop.Old: "primary", shop.New: "candidate"}[o.Version]
	o.Data, o.IDs, o.Tag, o.Log, o.Mail = shop.Own, shop.Own, true, log, "http://"+d.between.Mail+"/send"
	o.Getenv = func(name string) string {
		if name == "HTTP_PROXY" {
			return "http://" + leg + "@" + d.between.Egress
		}
		return d.Getenv(name)
	}
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
			switch {
			case a.Err != nil:
				failed.Add(1)
			case a.Route == "POST /orders/{id}/pay":
				d.paid.Add(1)
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
	r := ShopResult{
		URL: d.url(), Sent: seen.Sent, Errors: seen.Examples, Report: report, Written: map[string]uint64{},
		Paid: d.paid.Load(), Mails: d.mail.arrived.Load(),
	}
	r.Found, r.Others = Found(d.defects, issues)
	r.Slower = slowEndpoints(r.Found, report.Endpoints)
	for i := range r.Found {
		if r.Found[i].Counts, err = client.counts(ctx, r.Found[i]); err != nil {
			return ShopResult{}, err
		}
	}
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
