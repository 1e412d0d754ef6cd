package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax/compare"
	"parallax/internal/ids"
	"parallax/mirror"
)

const checkUsage = "check -c FILE | check --schema"

// runCheck is the verb check: every fault of a configuration at once, or what it
// comes to with all defaults filled in.
func runCheck(ctx context.Context, e env, args []string) int {
	set := e.flags("check", checkUsage)
	file := set.String("c", "", "configuration `FILE`")
	wantSchema := set.Bool("schema", false, "print the JSON Schema of configuration files")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if *wantSchema && (*file != "" || set.NArg() > 0) {
		return e.misuse(checkUsage, "check --schema is about no file")
	}
	if wrong := needsConfig(set, *file); wrong != "" && !*wantSchema {
		return e.misuse(checkUsage, "%s", wrong)
	}
	if *wantSchema {
		text, err := schema()
		if err != nil {
			return e.fail("cannot make the schema: %v", err)
		}
		fmt.Fprintf(e.stdout, "%s\n", text)
		return exitGood
	}
	cfg, faults, err := loadConfig(*file)
	if err != nil {
		return e.fail("%v", err)
	}
	advice, wrong := checkRedis(ctx, *file, cfg, faults)
	faults = append(faults, wrong...)
	faults = append(faults, checkQueue(ctx, *file, cfg, faults)...)
	faults = append(faults, checkSteps(ctx, *file, cfg, faults)...)
	away, wrong := checkEffects(ctx, *file, cfg, faults)
	if faults = append(faults, wrong...); len(faults) > 0 {
		printFaults(e.stderr, faults)
		fmt.Fprintln(e.stderr, numbered(len(faults), "fault"))
		return exitNot
	}
	for _, url := range []*string{&cfg.Store.ClickHouse, &cfg.Queue.URL, &cfg.Identifiers.URL, &cfg.Steps.URL} {
		*url = withoutPassword(*url)
	}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return e.fail("cannot print the configuration: %v", err)
	}
	for _, s := range cfg.Services {
		for _, suspicious := range s.SuspiciousEndpoints() {
			fmt.Fprintf(e.stdout, "# %s: %s %s, so it is not mirrored until mirror.endpoints declares it (safe: true or false)\n", s.Name, suspicious.Endpoint, suspicious.Why)
		}
	}
	for i, s := range cfg.Services {
		printFindings(e.stdout, fmt.Sprintf("# services[%d].rules", i), compare.Lint(s.Rules, time.Now()))
		for _, same := range sameAddresses(s) {
			fmt.Fprintf(e.stdout, "# services[%d].candidate.urls: %s is the primary's address too, so it would be compared with itself\n", i, same)
		}
		made, _ := ids.Compile(s.Identifiers) // loaded without a fault
		printFindings(e.stdout, fmt.Sprintf("# services[%d].rules", i), compare.LintIdentifiers(s.Rules, made))
	}
	for _, text := range advice {
		fmt.Fprintf(e.stdout, "# identifiers: %s\n", text)
	}
	for _, text := range away {
		fmt.Fprintf(e.stdout, "# %s\n", text)
	}
	fmt.Fprintf(e.stdout, "# %s is good. With all defaults it comes to:\n%s", *file, text)
	printCatalogue(e.stdout, cfg.Services)
	printIdentifiers(e.stdout)
	for _, s := range cfg.Services {
		var plan strings.Builder
		if err := printPlan(ctx, &plan, s); err != nil {
			return e.fail("cannot say what the databases of %q need: %v", s.Name, err)
		}
		for line := range strings.Lines(plan.String()) {
			fmt.Fprint(e.stdout, "# ", line)
		}
	}
	return exitGood
}

// sameAddresses are those at which both legs are, unless something in their requests tells them apart.
func sameAddresses(s ServiceConfig) (same []string) {
	if len(s.Candidate.Rewrite) > 0 || s.Candidate.Host != s.Primary.Host {
		return nil
	}
	for _, u := range s.Candidate.URLs {
		if slices.ContainsFunc(s.Primary.URLs, func(p mirror.LegURL) bool { return p.URL == u.URL }) {
			same = append(same, u.URL)
		}
	}
	return same
}

// printCatalogue lists the headers that are left out of the comparison without a
// rule.
func printCatalogue(to io.Writer, services []ServiceConfig) {
	fmt.Fprint(to, "# Not compared, unless a rule names the header (compare: true, or what its values mean):\n")
	for _, h := range compare.Volatile {
		presence := ""
		if h.Presence {
			presence = "; that both answers have it is compared"
		}
		fmt.Fprintf(to, "#   header:%s  %s%s\n", h.Name, h.Reason, presence)
	}
	for _, s := range services {
		names := s.VersionHeaders()
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			fmt.Fprintf(to, "#   header:%s  of %s, names the version\n", strings.ToLower(name), s.Name)
		}
	}
}

// withoutPassword masks the password in an address, which may end up in the log
// of a CI job.
func withoutPassword(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// numbered is a number of things in words that fit it.
func numbered(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
