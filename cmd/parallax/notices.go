package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/notices"
)

// openNotices builds what tells receivers, if there are any.
func (s *server) openNotices() {
	if len(s.cfg.Notify) == 0 {
		return
	}
	s.teller = notices.New(s.cfg.Notify, notices.Deps{
		Store: s.store, Services: s.standings, May: s.maySteer, Base: strings.TrimSuffix(s.cfg.Admin.URL, "/"),
		Now: s.now, Log: s.log, Registerer: s.registry,
	})
}

// tells tells receivers until ctx ends.
func (s *server) tells(ctx context.Context) error {
	if s.teller == nil {
		return nil
	}
	return s.teller.Run(ctx)
}

// standings are how the services stand.
func (s *server) standings() []notices.Service {
	var out []notices.Service
	for _, svc := range s.current.Load().services {
		out = append(out, notices.Service{Name: svc.name, Verdict: svc.judge.Verdict(), State: svc.steps.State()})
	}
	return out
}

// notifyFaults says what is wrong with receivers of notifications and with links to the pages.
func (c Config) notifyFaults() []parallax.Fault {
	var faults []parallax.Fault
	if u, err := url.Parse(c.Admin.URL); c.Admin.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		faults = append(faults, parallax.Fault{Path: "admin.url", Text: fmt.Sprintf("%.200q is not an address of pages", c.Admin.URL), Hint: "write it like https://parallax.internal"})
	}
	for i, r := range c.Notify {
		at := fmt.Sprintf("notify[%d]", i)
		faults = append(faults, parallax.Under(at, r.Validate())...)
		if slices.ContainsFunc(c.Notify[:i], func(other notices.Receiver) bool { return other.Name == r.Name }) {
			faults = append(faults, parallax.Fault{Path: at + ".name", Text: fmt.Sprintf("%q is there twice", r.Name), Hint: "give each receiver a name of its own"})
		}
		for n, name := range r.Services {
			if !slices.ContainsFunc(c.Services, func(s ServiceConfig) bool { return s.Name == name }) {
				faults = append(faults, parallax.Fault{Path: fmt.Sprintf("%s.services[%d]", at, n), Text: fmt.Sprintf("there is no service %q", name), Hint: "name one of services"})
			}
		}
	}
	return faults
}

const notifyUsage = "notify -c FILE [--to NAME]"

// notifyWithin bounds a message that is only to see whether it arrives.
const notifyWithin = 15 * time.Second

// runNotify is the verb notify: it sends the receivers of a configuration a message that says
// that it is a test. It returns 1 when one did not take it.
func runNotify(ctx context.Context, e env, args []string) int {
	set := e.flags("notify", notifyUsage)
	file := set.String("c", "", "configuration `FILE`")
	to := set.String("to", "", "one receiver, by its `NAME`; default: all")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if *file == "" || set.NArg() > 0 {
		return e.misuse(notifyUsage, "notify needs -c FILE, the configuration")
	}
	cfg, faults, err := loadConfig(*file)
	if err != nil {
		return e.fail("%v", err)
	}
	if len(faults) > 0 {
		printFaults(e.stderr, faults)
		return exitError
	}
	receivers := slices.DeleteFunc(cfg.Notify, func(r notices.Receiver) bool { return *to != "" && r.Name != *to })
	if len(receivers) == 0 {
		return e.fail("there is no receiver to notify in %s; see notify in docs/config.md", *file)
	}
	return e.tryReceivers(ctx, receivers, cfg.Admin.URL)
}

func (e env) tryReceivers(ctx context.Context, receivers []notices.Receiver, base string) int {
	code := exitGood
	for _, r := range receivers {
		ctx, stop := context.WithTimeout(ctx, notifyWithin)
		err := r.Try(ctx, strings.TrimSuffix(base, "/"), time.Now())
		stop()
		if err != nil {
			fmt.Fprintf(e.stdout, "%s did not take the message: %v\n", r.Name, err)
			code = exitNot
			continue
		}
		fmt.Fprintf(e.stdout, "%s took the message\n", r.Name)
	}
	return code
}
