package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

// Exit codes of the verdict verb, for CI.
const (
	verdictPromote  = 0
	verdictError    = 1 // no verdict could be had
	verdictUsage    = 2
	verdictHold     = 3
	verdictRollback = 4
)

const verdictUsageLine = "verdict --server URL --service S [--group G] [--candidate-version X] [--wait 30m | --export FILE] [--format text|json|markdown|junit] | verdict --from FILE [--group G] [--candidate-version X] [--format ...]"

// verdictQuery is one run of the verb.
type verdictQuery struct {
	admin
	wait   time.Duration // for promote or rollback; 0 asks once
	format string
	about  string // version of the candidate; empty: whichever there is
	group  string // of endpoints; empty: all of the service
	export string // file to which the evidence goes
	from   string // file with evidence, in place of a server

	secret tokenFlag

	pause  time.Duration // at least so long between two questions
	said   time.Time     // when it was last said what is waited for
	stderr io.Writer
}

// runVerdict asks a running Parallax for its verdict on a service and prints it.
// It waits until the verdict is promote or rollback, or the wait is over. With --from it
// makes the verdict itself, from evidence that was exported.
func runVerdict(ctx context.Context, e env, args []string) int {
	q, code := parseVerdict(e, args)
	if q == nil {
		return code
	}
	var err error
	if q.token, err = q.secret.read(e.getenv); err != nil {
		fmt.Fprintf(e.stderr, "parallax: %v\n", err)
		return verdictError
	}
	if q.from != "" || q.export != "" {
		return q.replay(ctx, e.stdout)
	}
	return q.run(ctx, e.stdout)
}

func parseVerdict(e env, args []string) (*verdictQuery, int) {
	q := &verdictQuery{pause: time.Second, stderr: e.stderr}
	set := e.flags("verdict", verdictUsageLine)
	server := set.String("server", "", "`URL` of the admin pages of Parallax, such as http://127.0.0.1:7070")
	set.StringVar(&q.service, "service", "", "the service, by its `NAME` in the configuration")
	set.DurationVar(&q.wait, "wait", 0, "how long to wait for promote or rollback; 0 asks once")
	set.StringVar(&q.format, "format", "text", "text, json, markdown or junit")
	set.StringVar(&q.about, "candidate-version", "", "the version that is about to be released: a verdict on another one is hold")
	set.StringVar(&q.group, "group", "", "a group of endpoints (split.groups) that the verdict is to be on")
	q.secret.on(set)
	set.StringVar(&q.export, "export", "", "write all that the verdict was made from to this file, and print the verdict that it comes to")
	set.StringVar(&q.from, "from", "", "make the verdict again from such a file, without a server")
	if ok, code := parse(set, args); !ok {
		return nil, code // exitError is verdictUsage, exitGood verdictPromote
	}
	if err := q.check(*server, set.Args()); err != nil {
		return nil, e.misuse(verdictUsageLine, "%v", err)
	}
	return q, verdictPromote
}

func (q *verdictQuery) check(server string, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("verdict takes no argument %q", rest[0])
	case q.from != "" && (server != "" || q.service != "" || q.export != ""):
		return errors.New("verdict --from asks no server: it takes no --server, --service and --export")
	case q.wait > 0 && (q.from != "" || q.export != ""):
		return errors.New("evidence is of one moment: --from and --export take no --wait")
	case q.from != "":
		return q.checkFormat()
	case server == "":
		return errors.New("verdict needs --server, such as http://127.0.0.1:7070")
	case q.service == "":
		return errors.New("verdict needs --service, the name of a service in the configuration")
	case q.wait < 0:
		return fmt.Errorf("cannot wait for %v; write it like 30m", q.wait)
	}
	if err := q.checkFormat(); err != nil {
		return err
	}
	u, err := parseServer(server)
	q.server = u
	return err
}

func (q *verdictQuery) checkFormat() error {
	if _, ok := verdictFormats[q.format]; !ok && q.format != "json" {
		return fmt.Errorf("there is no format %q; there are text, json, markdown and junit", q.format)
	}
	return nil
}

// verdictFormats are the forms that need the report too.
var verdictFormats = map[string]func(io.Writer, reports.Report, reports.Verdict) error{
	"text":     reports.WriteText,
	"markdown": reports.WriteMarkdown,
	"junit":    reports.WriteJUnit,
}

func (q *verdictQuery) run(ctx context.Context, stdout io.Writer) int {
	raw, v, err := q.await(ctx)
	if err == nil {
		err = q.print(ctx, stdout, raw, v)
	}
	if err != nil {
		fmt.Fprintf(q.stderr, "parallax: %v\n", err)
		return verdictError
	}
	return verdictCode(v)
}

// verdictCode is the exit code of a verdict.
func verdictCode(v reports.Verdict) int {
	switch v.Decision {
	case reports.Promote:
		return verdictPromote
	case reports.Rollback:
		return verdictRollback
	}
	return verdictHold
}

// await asks until the verdict is promote or rollback, or the wait is over. The
// first question must be answered; a Parallax that is away later means no change
// yet, and is asked again.
func (q *verdictQuery) await(ctx context.Context) (raw []byte, v reports.Verdict, err error) {
	end := time.Now().Add(q.wait)
	for first := true; ; first = false {
		left := max(time.Until(end), 0)
		asked := time.NewTimer(q.pause)
		patience := min(left, 30*time.Second)
		if first {
			patience = 0
		}
		raw, v, err = q.ask(ctx, patience)
		switch {
		case err != nil && first, left == 0:
			return raw, v, err
		case err == nil && v.Decision != reports.Hold:
			return raw, v, nil
		case err == nil:
			q.tell(v, time.Until(end))
		}
		select {
		case <-asked.C: // an answer that came at once would otherwise be asked for again at once
		case <-ctx.Done():
			return nil, v, errors.New("interrupted before there was a verdict")
		}
	}
}

// tell says once a minute what the verdict waits for.
func (q *verdictQuery) tell(v reports.Verdict, left time.Duration) {
	if left < time.Second || time.Since(q.said) < time.Minute {
		return
	}
	q.said = time.Now()
	fmt.Fprintf(q.stderr, "parallax: %s; %v left\n", strings.TrimSuffix(v.Line(), "."), left.Round(time.Second))
}

// ask asks once; the server may take the given time to see a change.
func (q *verdictQuery) ask(ctx context.Context, wait time.Duration) ([]byte, reports.Verdict, error) {
	var v reports.Verdict
	query := url.Values{}
	if wait >= time.Second && q.group == "" { // the server waits for a change of the whole service

		query.Set("wait", wait.Truncate(time.Second).String())
	}
	raw, err := q.get(ctx, "verdict", query, wait)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err == nil && v.Decision != reports.Promote && v.Decision != reports.Hold && v.Decision != reports.Rollback {
		err = fmt.Errorf("the answer has verdict %q; is this the admin address of Parallax?", v.Decision)
	}
	if err == nil {
		raw, v, err = q.narrowed(raw, v)
	}
	if err != nil {
		return nil, v, fmt.Errorf("cannot read the verdict on %q: %w", q.service, err)
	}
	return raw, v, nil
}

// narrowed makes the verdict, and the answer it was read from, one on a group of endpoints and on a
// version of the candidate, where these are asked for. What else the answer holds stays as the server wrote it.
func (q *verdictQuery) narrowed(raw []byte, v reports.Verdict) ([]byte, reports.Verdict, error) {
	about, err := q.asked(v)
	if err != nil {
		return nil, v, err
	}
	if q.group == "" && about.Decision == v.Decision && len(about.Reasons) == len(v.Reasons) {
		return raw, v, nil
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, v, err
	}
	for key, value := range map[string]any{"verdict": about.Decision, "final": about.Final, "reasons": about.Reasons, "step": about.Step, "not_covered": about.NotCovered} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, v, err
		}
		all[key] = text
	}
	raw, err = json.Marshal(all)
	return raw, about, err
}

// asked returns the verdict that is asked for: on a group of endpoints, on a version of the candidate.
func (q *verdictQuery) asked(v reports.Verdict) (reports.Verdict, error) {
	if q.group != "" {
		about, known := v.ForGroup(q.group)
		if !known {
			return v, fmt.Errorf("there is no group %q of endpoints; there are %s", q.group, groupsOf(v))
		}
		v = about
	}
	if q.about != "" {
		v = v.ForCandidate(q.about)
	}
	return v, nil
}

// groupsOf names the groups of a verdict.
func groupsOf(v reports.Verdict) string {
	var names []string
	for _, g := range v.Groups {
		names = append(names, g.Group)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (q *verdictQuery) print(ctx context.Context, w io.Writer, raw []byte, v reports.Verdict) error {
	if q.format == "json" {
		// As the server wrote it: it may know more fields than this release.
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(raw), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, out.String())
		return err
	}
	r := q.report(ctx, v)
	return verdictFormats[q.format](w, r, v)
}

// report returns the report beside a verdict. A verdict without one is still a
// verdict: while the store is away there is none.
func (q *verdictQuery) report(ctx context.Context, v reports.Verdict) reports.Report {
	r := reports.Build(divergence.Window{}, divergence.Summary{Accounting: v.Accounting}, v)
	raw, err := q.get(ctx, "report", nil, 0)
	if err == nil {
		var full reports.Report
		if err = json.Unmarshal(raw, &full); err == nil {
			return full
		}
	}
	fmt.Fprintf(q.stderr, "parallax: there is no table of endpoints: cannot read the report on %q: %v\n", q.service, err)
	return r
}

// get fetches one resource of the service.
func (q *verdictQuery) get(ctx context.Context, what string, query url.Values, wait time.Duration) ([]byte, error) {
	return q.admin.ask(ctx, adminQuestion{method: http.MethodGet, what: what, query: query, within: wait + 30*time.Second})
}

// refusal is what somebody is told of an answer that is no success.
func refusal(from *url.URL, answer *http.Response, raw []byte) error {
	why := problemText(raw)
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		why = ": this takes a token that is in force, in $PARALLAX_TOKEN or --token-file"
	case why == "" && answer.StatusCode == http.StatusNotFound:
		why = ", which is not what Parallax says: --server is the address of its pages (admin.listen), not that of a service"
	}
	return fmt.Errorf("%s answered %s%s", from.Redacted(), answer.Status, why)
}

// problemText returns what an RFC 9457 problem document says, empty if raw is
// none.
func problemText(raw []byte) string {
	var problem struct {
		Title, Detail string
		Known         []string
	}
	if json.Unmarshal(raw, &problem) != nil {
		return ""
	}
	text := problem.Detail
	if text == "" {
		text = problem.Title
	}
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	if len(problem.Known) > 0 {
		text += "; there is " + strings.Join(problem.Known, ", ")
	}
	return ": " + text
}
