package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

const reportUsage = "report --server URL --service S [--from T] [--to T] [--format text|markdown|json|junit|html]"

// reportQuery is one run of the verb report: what is known of a service, for a person to read.
type reportQuery struct {
	verdictQuery
	since, until string // as the API takes them
}

// runReport prints what is known of a service, whatever the verdict is: exit code 0 says that
// there was something to print.
func runReport(ctx context.Context, e env, args []string) int {
	q := &reportQuery{verdictQuery: verdictQuery{stderr: e.stderr}}
	set := e.flags("report", reportUsage)
	server := set.String("server", "", "`URL` of the admin pages of Parallax, such as http://127.0.0.1:7070")
	set.StringVar(&q.service, "service", "", "the service, by its `NAME` in the configuration")
	set.StringVar(&q.since, "from", "", "figures of requests received from then on (RFC 3339); the verdict is on all evidence")
	set.StringVar(&q.until, "to", "", "figures of requests received until then (RFC 3339)")
	set.StringVar(&q.format, "format", "text", "text, markdown, json, junit, or html: one file to hand to somebody")
	q.secret.on(set)
	if ok, code := parse(set, args); !ok {
		return code
	}
	err := q.checkReport(*server, set.Args())
	if err == nil {
		q.token, err = q.secret.read(e.getenv)
	}
	if err == nil {
		err = q.write(ctx, e.stdout)
	}
	if err != nil {
		return e.fail("%v", err)
	}
	return exitGood
}

func (q *reportQuery) checkReport(server string, rest []string) (err error) {
	_, known := verdictFormats[q.format]
	switch {
	case len(rest) > 0:
		return fmt.Errorf("report takes no argument %q", rest[0])
	case server == "":
		return errors.New("report needs --server, such as http://127.0.0.1:7070")
	case q.service == "":
		return errors.New("report needs --service, the name of a service in the configuration")
	case !known && q.format != "json" && q.format != "html":
		return fmt.Errorf("there is no format %q; there are text, markdown, json, junit and html", q.format)
	}
	q.server, err = parseServer(server)
	return err
}

func (q *reportQuery) write(ctx context.Context, w io.Writer) error {
	raw, err := q.get(ctx, "report", q.window(), 0)
	if err != nil {
		return fmt.Errorf("cannot read the report on %q: %w", q.service, err)
	}
	if q.format == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(raw), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, out.String())
		return err
	}
	h := reports.Handout{At: time.Now()}
	if err := json.Unmarshal(raw, &h.Report); err != nil {
		return fmt.Errorf("cannot read the report on %q: %w", q.service, err)
	}
	if _, h.Verdict, err = q.ask(ctx, 0); err != nil {
		return err
	}
	if q.format != "html" {
		return verdictFormats[q.format](w, h.Report, h.Verdict)
	}
	if h.Issues, h.More, err = q.worst(ctx); err != nil {
		fmt.Fprintf(q.stderr, "parallax: the report is without examples: %v\n", err)
	}
	return reports.WriteHTML(w, h)
}

func (q *reportQuery) window() url.Values {
	out := url.Values{}
	for key, value := range map[string]string{"from": q.since, "to": q.until} {
		if value != "" {
			out.Set(key, value)
		}
	}
	return out
}

// handed is how many issues are handed out.
const handed = 50

// worst returns the issues in most exchanges.
func (q *reportQuery) worst(ctx context.Context) (list []divergence.Issue, more bool, err error) {
	query := q.window()
	query.Set("limit", strconv.Itoa(handed+1))
	query.Set("suppressed", "false")
	raw, err := q.get(ctx, "issues", query, 0)
	if err != nil {
		return nil, false, err
	}
	page := struct{ Issues []divergence.Issue }{Issues: []divergence.Issue{}}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, false, err
	}
	return page.Issues[:min(len(page.Issues), handed)], len(page.Issues) > handed, nil
}
