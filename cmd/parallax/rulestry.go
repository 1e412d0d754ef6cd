package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"parallax/compare"
	"parallax/divergence"
)

// ruleTry is one question about rules and stored pairs to a running Parallax.
type ruleTry struct {
	admin
	endpoint string
	limit    int
	format   string
	file     string // with rules; "" for those in force
}

// parseTry reads the flags that all such questions share. It returns nil and the
// exit code when the verb must end.
func parseTry(e env, name, usage string, needsFile bool, args []string, more func(*flag.FlagSet)) (*ruleTry, int) {
	t := &ruleTry{}
	set := e.flags(name, usage)
	server := set.String("server", "", "`URL` of the admin pages of Parallax, such as http://127.0.0.1:7070")
	set.StringVar(&t.service, "service", "", "the service, by its `NAME` in the configuration")
	set.StringVar(&t.endpoint, "endpoint", "", "only stored pairs of this `endpoint`; default: of all")
	set.IntVar(&t.limit, "limit", 0, "so many stored pairs at most, the latest, up to 10000; 0: as many as the server thinks right")
	set.StringVar(&t.format, "format", "text", "text or json")
	var secret tokenFlag
	secret.on(set)
	if more != nil {
		more(set)
	}
	if ok, code := parse(set, args); !ok {
		return nil, code
	}
	t.file = set.Arg(0)
	u, err := parseServer(*server)
	switch {
	case *server == "" || t.service == "":
		return nil, e.fail("%s needs --server and --service; usage: parallax %s", name, usage)
	case err != nil:
		return nil, e.fail("%v", err)
	case needsFile && set.NArg() != 1, set.NArg() > 1:
		return nil, e.fail("%s takes one file with rules; %d given", name, set.NArg())
	case t.format != "text" && t.format != "json":
		return nil, e.fail("there is no format %q; there are text and json", t.format)
	case t.limit < 0 || t.limit > 10_000:
		return nil, e.fail("cannot look at %d pairs; --limit is 1 to 10000", t.limit)
	}
	t.server = u
	if t.token, err = secret.read(e.getenv); err != nil {
		return nil, e.fail("%v", err)
	}
	return t, exitGood
}

// ask sends the question and reads the answer, which it prints as it came if that
// is asked for.
func (t *ruleTry) ask(ctx context.Context, e env, what string, into any) error {
	var rules []byte
	if t.file != "" {
		var err error
		if rules, err = os.ReadFile(t.file); err != nil {
			return fmt.Errorf("cannot read rules: %w", err)
		}
		if _, faults := compare.ReadRules(t.file, rules); len(faults) > 0 {
			printFaults(e.stderr, faults)
			return fmt.Errorf("the rules in %s cannot be tried: %s", t.file, numbered(len(faults), "fault"))
		}
		if len(bytes.TrimSpace(rules)) == 0 {
			rules = []byte("[]") // no rules, which is not those in force
		}
	}
	raw, err := t.send(ctx, http.MethodPost, "rules:"+what, rules)
	if err != nil {
		return fmt.Errorf("cannot ask about the rules of %q: %w", t.service, err)
	}
	return t.read(e, raw, into)
}

// read reads an answer, and prints it as it came if that is asked for.
func (t *ruleTry) read(e env, raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("cannot read the answer; is this the admin address of Parallax? %w", err)
	}
	if t.format == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(raw), "", "  "); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, out.String())
	}
	return nil
}

// triesFor is how long the server may take; it ends by itself well before.
const triesFor = 45 * time.Second

func (t *ruleTry) send(ctx context.Context, method, what string, rules []byte) ([]byte, error) {
	query := url.Values{}
	if t.endpoint != "" {
		query.Set("endpoint", t.endpoint)
	}
	if t.limit > 0 {
		query.Set("limit", strconv.Itoa(t.limit))
	}
	q := adminQuestion{method: method, what: what, query: query, body: rules, within: triesFor}
	if rules != nil {
		q.contentType = "application/yaml"
	}
	return t.admin.ask(ctx, q)
}

const dryRunUsage = "rules dry-run --server URL --service S [--endpoint E] [--limit N] [--format text|json] FILE"

// runRulesDryRun says what the rules of a file would hide or reveal. It returns 0
// when they change nothing, 1 when they do.
func runRulesDryRun(ctx context.Context, e env, args []string) int {
	t, code := parseTry(e, "rules dry-run", dryRunUsage, true, args, nil)
	if t == nil {
		return code
	}
	var d divergence.DryRun
	if err := t.ask(ctx, e, "dry-run", &d); err != nil {
		return e.fail("%v", err)
	}
	if t.format == "text" {
		printDryRun(e.stdout, t.file, &d)
	}
	if d.Hidden+d.Revealed > 0 {
		return exitNot
	}
	return exitGood
}

func printDryRun(w io.Writer, file string, d *divergence.DryRun) {
	fmt.Fprintf(w, "%s\n%s; %d of them diverge under the rules in force, %d would under these\n", d.Summary, d.Pairs, d.Diverged.Before, d.Diverged.After)
	printFindings(w, file+": ", d.Findings)
	if len(d.Issues) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\nPAIRS\tTHEN\tENDPOINT\tISSUE\tTAKEN AWAY BY\tEXAMPLE\n")
	for _, i := range d.Issues {
		fmt.Fprintf(table, "%d\t%d\t%s\t%s %s\t%s\t%s\n", i.Pairs.Before, i.Pairs.After, i.Endpoint, i.Path, i.Kind, orDash(strings.Join(i.By, "; ")), i.Examples[0])
	}
	table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

const rejudgeUsage = "rules rejudge --server URL --service S [--endpoint E] [--limit N] [--format text|json] [FILE]"

// runRulesRejudge compares stored pairs anew. It returns 0 when no outcome is
// another, 1 when one is.
func runRulesRejudge(ctx context.Context, e env, args []string) int {
	t, code := parseTry(e, "rules rejudge", rejudgeUsage, false, args, nil)
	if t == nil {
		return code
	}
	var r divergence.Rejudged
	if err := t.ask(ctx, e, "rejudge", &r); err != nil {
		return e.fail("%v", err)
	}
	if t.format == "text" {
		printRejudged(e.stdout, &r)
	}
	if r.Changed > 0 {
		return exitNot
	}
	return exitGood
}

func printRejudged(w io.Writer, r *divergence.Rejudged) {
	fmt.Fprintf(w, "%s; %d come to another outcome\n", r.Pairs, r.Changed)
	if r.Unjudged > 0 {
		fmt.Fprintf(w, "%d cannot be judged again, since what was redacted would have to be weighed; they are in no outcome\n", r.Unjudged)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\nOUTCOME\tBEFORE\tNOW\n")
	for _, outcome := range []string{"match", "diverged", "not_comparable"} {
		c := r.Outcomes[outcome]
		fmt.Fprintf(table, "%s\t%d\t%d\n", outcome, c.Before, c.After)
	}
	table.Flush()
	if len(r.Changes) > 0 {
		fmt.Fprintln(w)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(w, "%s  %s  %s -> %s: %s\n", c.ID, c.Endpoint, c.Before, c.After, c.Why)
	}
	if left := r.Changed - len(r.Changes); left > 0 {
		fmt.Fprintf(w, "and %d more\n", left)
	}
}

const blindSpotsUsage = "rules blind-spots --server URL --service S [--endpoint E] [--limit N] [--least SHARE] [--format text|json] [FILE]"

// runRulesBlindSpots says which share of flaws would be found. It returns 0 when it
// is enough on every endpoint, 1 when it is not.
func runRulesBlindSpots(ctx context.Context, e env, args []string) int {
	var least float64
	t, code := parseTry(e, "rules blind-spots", blindSpotsUsage, false, args, func(set *flag.FlagSet) {
		set.Float64Var(&least, "least", 0, "the share, 0 to 1, that must be found on every endpoint")
	})
	if t == nil {
		return code
	}
	var b divergence.BlindSpots
	if err := t.ask(ctx, e, "blind-spots", &b); err != nil {
		return e.fail("%v", err)
	}
	if t.format == "text" {
		printBlindSpots(e.stdout, &b)
	}
	if slices.ContainsFunc(b.Endpoints, func(each divergence.EndpointBlindness) bool { return each.Share < least }) {
		return exitNot
	}
	return exitGood
}

func printBlindSpots(w io.Writer, b *divergence.BlindSpots) {
	fmt.Fprintf(w, "%s\n", b.Pairs)
	for _, each := range b.Endpoints {
		fmt.Fprintf(w, "\n%s: %.1f %% of %d flaws in %d answers would be found\n", each.Endpoint, 100*each.Share, each.N, each.Answers)
		for _, h := range each.Hidden {
			by := h.By
			if h.Detail != "" {
				by = h.Detail
			}
			var flaws []string
			for flaw, n := range h.Flaws {
				flaws = append(flaws, fmt.Sprintf("%s %d", flaw, n))
			}
			slices.Sort(flaws)
			fmt.Fprintf(w, "  %d hidden by %s: %s\n", h.N, by, strings.Join(flaws, ", "))
		}
	}
}
