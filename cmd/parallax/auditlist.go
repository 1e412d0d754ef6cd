package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"parallax/reports"
)

// accessesListed is how many deeds the verb prints where nobody says.
const accessesListed = 100

// runAuditList prints what people did at the admin listener, the latest first, also while Parallax runs. It exits with 1
// when the audit is broken.
func runAuditList(ctx context.Context, e env, args []string) int {
	var f reports.AccessFilter
	var deed string
	var since time.Duration
	set := e.flags("audit list", auditListUsage)
	config := set.String("c", "", "`FILE`, the configuration, whose state_dir has the audit")
	file := set.String("file", "", "`FILE`, the audit, such as parallax-state/admin.access, in place of that of a configuration")
	set.StringVar(&f.Who, "who", "", "what the token of this name did")
	set.StringVar(&f.Service, "service", "", "what was done to a service")
	set.StringVar(&f.Object, "object", "", "what was done to an exchange's id, an issue's fingerprint or an endpoint")
	set.StringVar(&deed, "deed", "", "deeds of one kind: view, change, login or logout")
	set.DurationVar(&since, "since", 0, "what was done in the last hours, such as 24h; 0: whenever")
	set.IntVar(&f.Limit, "limit", accessesListed, "how many at most; 0: all")
	asJSON := set.Bool("json", false, "print a line of JSON each")
	if ok, code := parse(set, args); !ok {
		return code
	}
	f.Deed = reports.AccessDeed(deed)
	switch {
	case set.NArg() > 0:
		return e.fail("audit list takes no argument %q", set.Arg(0))
	case (*config == "") == (*file == ""):
		return e.fail("audit list wants -c, the configuration, or --file, an audit such as parallax-state/admin.access")
	case deed != "" && !slices.Contains(reports.AccessDeeds, f.Deed):
		return e.fail("cannot read --deed %.40q: want view, change, login or logout", deed)
	case f.Limit < 0 || since < 0:
		return e.fail("audit list wants no --limit or --since below 0")
	}
	if since > 0 {
		f.From = time.Now().Add(-since)
	}
	path := *file
	if path == "" {
		cfg, faults, err := loadConfig(*config)
		if err != nil {
			return e.fail("%v", err)
		}
		if len(faults) > 0 {
			printFaults(e.stderr, faults)
			return exitError
		}
		path = reports.AccessPath(cfg.StateDir)
	}
	found, err := reports.ReadAccesses(ctx, path, f)
	if err != nil {
		return e.fail("%v", err)
	}
	return e.printAccesses(found, *asJSON)
}

func (e env) printAccesses(found reports.Accesses, asJSON bool) int {
	if err := e.writeAccesses(found.Records, asJSON); err != nil {
		return e.fail("%v", err)
	}
	switch {
	case found.Broken != "":
		fmt.Fprintf(e.stderr, "parallax: the audit is BROKEN: %s; what stands behind that is not listed\n", found.Broken)
		return exitNot
	case len(found.Records) == 0:
		fmt.Fprintln(e.stderr, "parallax: nobody did anything that is kept")
	case found.More:
		fmt.Fprintln(e.stderr, "parallax: there is more: give --limit 0 for all")
	}
	return exitGood
}

func (e env) writeAccesses(records []reports.AccessRecord, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(e.stdout)
		for _, r := range records {
			if err := lines.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, r := range records {
		fmt.Fprintln(w, accessLine(r))
	}
	return w.Flush()
}

// accessLine is a deed in columns. Texts that are a caller's own are printed without control characters.
func accessLine(r reports.AccessRecord) string {
	who := "-"
	if r.Who != "" {
		who = r.Who + " (" + r.Role + ")"
	}
	cells := []string{r.At.UTC().Format(time.DateTime), string(r.Deed), who, cmp.Or(r.From, "-"), fmt.Sprint(r.Status), r.Route}
	for _, more := range []string{r.Service, r.Object} {
		if more != "" {
			cells = append(cells, more)
		}
	}
	for i := range cells {
		cells[i] = strings.Map(printed, cells[i])
	}
	return strings.Join(cells, "\t")
}

func printed(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return -1
}
