package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"parallax"
	"parallax/divergence"
	"parallax/reports"
	"parallax/ui"
)

const finishUsage = "finish --server URL --service S [-c FILE] [--format text|json|markdown]"

// finishQuery is one run of the verb.
type finishQuery struct {
	env
	admin
	file   string // the configuration; empty: only what the server tells
	format string
	cfg    Config
	s      ServiceConfig
}

// runFinish asks a running Parallax for all that is known of a service, and prints it as the
// run's last report, with how Parallax is taken out. It changes nothing. It exits with 0 when
// the run may end, 1 when not yet, 2 for an error.
func runFinish(ctx context.Context, e env, args []string) int {
	q := &finishQuery{env: e}
	set := e.flags("finish", finishUsage)
	server := set.String("server", "", "`URL` of the admin pages of Parallax, such as http://127.0.0.1:7070")
	set.StringVar(&q.service, "service", "", "the service, by its `NAME` in the configuration")
	set.StringVar(&q.file, "c", "", "`FILE`, the configuration of that Parallax: says how it is taken out, and where the history of the step is")
	set.StringVar(&q.format, "format", "text", "text, json or markdown")
	var secret tokenFlag
	secret.on(set)
	if ok, code := parse(set, args); !ok {
		return code
	}
	if err := q.check(*server, set.Args()); err != nil {
		return e.fail("%v\nusage: parallax %s", err, finishUsage)
	}
	var err error
	if q.token, err = secret.read(e.getenv); err != nil {
		return e.fail("%v", err)
	}
	if q.file != "" && !q.read() {
		return exitError
	}
	return q.run(ctx)
}

func (q *finishQuery) check(server string, rest []string) (err error) {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("finish takes no argument %q", rest[0])
	case server == "":
		return fmt.Errorf("finish needs --server, such as http://127.0.0.1:7070")
	case q.service == "":
		return fmt.Errorf("finish needs --service, the name of a service in the configuration")
	case !slices.Contains([]string{"text", "json", "markdown"}, q.format):
		return fmt.Errorf("there is no format %q; there are text, json and markdown", q.format)
	}
	q.server, err = parseServer(server)
	return err
}

// read reads the configuration, and prints what is wrong with it.
func (q *finishQuery) read() bool {
	cfg, faults, err := loadConfig(q.file)
	if err != nil {
		q.fail("%v", err)
		return false
	}
	if len(faults) > 0 {
		printFaults(q.stderr, faults)
		return false
	}
	i := slices.IndexFunc(cfg.Services, func(s ServiceConfig) bool { return s.Name == q.service })
	if i < 0 {
		q.fail("there is no service %q in %s", q.service, q.file)
		return false
	}
	q.cfg, q.s = cfg, cfg.Services[i]
	return true
}

func (q *finishQuery) run(ctx context.Context) int {
	found, err := q.ask(ctx)
	if err != nil {
		return q.fail("cannot report on the end of %q: %v", q.service, err)
	}
	ending := q.ending(ctx, found)
	if err := q.print(ending, found); err != nil {
		return q.fail("cannot print the report: %v", err)
	}
	if len(ending.WhyNot()) > 0 {
		return exitNot
	}
	return exitGood
}

// answers are those of the server, as it wrote them and as they were read.
type answers struct {
	rawVerdict, rawReport, rawStep json.RawMessage

	verdict reports.Verdict
	report  reports.Report
	step    stepFound
	legs    []ui.LegStatus
	issues  []divergence.Issue
}

// stepFound is what the answer about the step has for the end of a run.
type stepFound struct {
	reports.Stand
	WayBack   *reports.WayBack    `json:"way_back"`
	Shared    *ui.SharedStep      `json:"shared"`
	Splitters []ui.SplitterStatus `json:"splitters"`
}

// ask asks for everything. The step is asked for last and the verdict before it, so that
// neither is older than the report.
func (q *finishQuery) ask(ctx context.Context) (answers, error) {
	var a answers
	var err error
	if a.issues, err = q.issues(ctx); err != nil {
		return a, err
	}
	if a.legs, err = q.legs(ctx); err != nil {
		return a, err
	}
	for _, part := range []struct {
		what string
		raw  *json.RawMessage
		into any
	}{{"report", &a.rawReport, &a.report}, {"verdict", &a.rawVerdict, &a.verdict}, {"step", &a.rawStep, &a.step}} {
		if *part.raw, err = q.get(ctx, part.what, nil, part.into); err != nil {
			return a, err
		}
	}
	if !slices.Contains([]reports.Decision{reports.Promote, reports.Hold, reports.Rollback}, a.verdict.Decision) {
		return a, fmt.Errorf("the answer has verdict %q; is this the admin address of Parallax?", a.verdict.Decision)
	}
	return a, nil
}

// get fetches and reads one resource of the service.
func (q *finishQuery) get(ctx context.Context, what string, query url.Values, into any) ([]byte, error) {
	raw, err := q.admin.ask(ctx, adminQuestion{method: http.MethodGet, what: what, query: query, within: time.Minute})
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s: %w", what, err)
	}
	return raw, nil
}

// mostIssues is how many issues of a state the server gives.
const mostIssues = 1000

// issues asks state by state, so that many of one state hide none of another. Open are those
// that count; what a rule takes away is no open question.
func (q *finishQuery) issues(ctx context.Context) ([]divergence.Issue, error) {
	var out []divergence.Issue
	for _, state := range []string{divergence.BugIssue, divergence.RegressedIssue, divergence.OpenIssue, divergence.AcceptedIssue, divergence.NoiseIssue, divergence.ResolvedIssue} {
		var page struct{ Issues []divergence.Issue }
		query := url.Values{"state": {state}, "limit": {strconv.Itoa(mostIssues)}, "suppressed": {strconv.FormatBool(state != divergence.OpenIssue)}}
		if _, err := q.get(ctx, "issues", query, &page); err != nil {
			return nil, err
		}
		if len(page.Issues) == mostIssues {
			fmt.Fprintf(q.stderr, "parallax: there may be more than %d issues in state %s: the report has the first of them\n", mostIssues, state)
		}
		out = append(out, page.Issues...)
	}
	return out, nil
}

func (q *finishQuery) legs(ctx context.Context) ([]ui.LegStatus, error) {
	raw, err := askAt(ctx, q.server.JoinPath("api", "v1", "services"), adminQuestion{method: http.MethodGet, within: time.Minute, token: q.token})
	if err != nil {
		return nil, err
	}
	var list struct {
		Services []struct {
			Name string
			Legs []ui.LegStatus
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("cannot read the list of services: %w", err)
	}
	for _, s := range list.Services {
		if s.Name == q.service {
			return s.Legs, nil
		}
	}
	return nil, fmt.Errorf("there is no service %q at %s", q.service, q.server.Redacted())
}

// ending puts together what was found.
func (q *finishQuery) ending(ctx context.Context, a answers) reports.Ending {
	to := parallax.Candidate
	if a.step.Step == 0 {
		to = parallax.Primary
	}
	e := reports.Ending{
		Report: a.report, Verdict: a.verdict, Stand: a.step.Stand, Elsewhere: elsewhere(a.step),
		Back: a.step.WayBack, Lacks: lacks(a.legs, to), Issues: a.issues,
	}
	if q.file == "" {
		e.WayOut = unknownWayOut(to, legURLs(a.legs, to))
		return e
	}
	e.History = q.history(ctx)
	e.WayOut = wayOut{cfg: q.cfg, file: q.file, server: q.server.Redacted(), s: q.s, to: to}.sections()
	return e
}

// elsewhere says which splitters and mirrors are not known to have the step.
func elsewhere(s stepFound) []string {
	var out []string
	for _, p := range s.Splitters {
		if p.Pending() {
			out = append(out, fmt.Sprintf("the splitter %s is %s", p.Name, p.State))
		}
	}
	if s.Shared == nil {
		return out
	}
	if !s.Shared.Reached {
		out = append(out, "the other mirrors are not heard")
	}
	if s.Shared.Owed {
		out = append(out, "the other mirrors have not heard of the rollback")
	}
	for _, name := range s.Shared.Behind {
		out = append(out, fmt.Sprintf("the mirror %s has an older one", name))
	}
	return out
}

// lacks says which writes the leg that goes on is still to get, or never will.
func lacks(legs []ui.LegStatus, to parallax.Leg) string {
	i := slices.IndexFunc(legs, func(l ui.LegStatus) bool { return l.Leg == to.String() })
	if i < 0 || legs[i].Missed == nil {
		return ""
	}
	m := legs[i].Missed
	text := fmt.Sprintf("the %s is still to get %d, and %d users or entities are not as on the other leg for good", to, m.Waiting, m.Tainted)
	if m.All {
		text += ", all of it with them"
	}
	return text
}

func legURLs(legs []ui.LegStatus, leg parallax.Leg) []string {
	for _, l := range legs {
		if l.Leg == leg.String() {
			return l.URLs
		}
	}
	return nil
}

// history reads the changes of the step from the chain of decisions, where it can be read
// from here; else there is none, and the report says how the step stands.
func (q *finishQuery) history(ctx context.Context) []reports.ChainRecord {
	files, err := reports.ChainFiles(reports.ChainPath(q.cfg.StateDir, q.service))
	var out []reports.ChainRecord
	var end reports.ChainEnd
	for _, name := range files {
		if err == nil {
			end, err = moves(ctx, name, end.Link, func(r reports.ChainRecord) { out = append(out, r) })
		}
	}
	if err != nil {
		fmt.Fprintf(q.stderr, "parallax: the history of the step is not whole: %v\n", err)
	}
	return out
}

// moves reads the changes of the step in one file of a chain.
func moves(ctx context.Context, name string, after reports.Link, each func(reports.ChainRecord)) (reports.ChainEnd, error) {
	file, err := os.Open(name)
	if err != nil {
		return reports.ChainEnd{}, err
	}
	defer file.Close()
	end, err := reports.WalkChain(untilDone{ctx, file}, after, func(_ int, r reports.ChainRecord, _ string) {
		if r.Moved != nil {
			each(r)
		}
	})
	if err != nil {
		return end, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return end, nil
}

func (q *finishQuery) print(e reports.Ending, a answers) error {
	switch q.format {
	case "markdown":
		return reports.WriteEndingMarkdown(q.stdout, e)
	case "text":
		return reports.WriteEndingText(q.stdout, e)
	}
	enc := json.NewEncoder(q.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"service": q.service, "may_end": len(e.WhyNot()) == 0, "why_not": notNil(e.WhyNot()), "given_up": e.GivenUp(),
		// As the server wrote them: it may know more fields than this release.
		"verdict": a.rawVerdict, "report": a.rawReport, "step": a.rawStep,
		"issues": notNil(e.Issues), "history": notNil(e.History), "way_out": e.WayOut,
	})
}

// notNil makes JSON have [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
