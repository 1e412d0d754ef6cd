package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"parallax/compare"
	"parallax/compare/effects/postgres/verify"
)

const effectsVerifyUsage = "effects verify -c FILE [--service S] [--table T] [--format text|json] [--min-age 1m] [--rate N]"

// runEffectsVerify compares whole tables of both legs' databases: 0 same, 1 differs,
// 2 error.
func runEffectsVerify(ctx context.Context, e env, args []string) int {
	set := e.flags("effects verify", effectsVerifyUsage)
	file := set.String("c", "", "configuration `FILE`")
	service := set.String("service", "", "the service, by its `NAME`; needed where several have databases")
	table := set.String("table", "", "only this `table` of the primary")
	format := set.String("format", "text", "text or json")
	minAge := set.Duration("min-age", -1, "leave out rows that were changed later than this ago; effects.verify.min_age without it")
	rate := set.Int("rate", -1, "`rows` a second that are read of each database, at most; 0: no bound; effects.verify.rate without it")
	set.Lookup("min-age").DefValue, set.Lookup("rate").DefValue = "", "" // the configuration's
	if ok, code := parse(set, args); !ok {
		return code
	}
	if wrong := needsConfig(set, *file); wrong != "" {
		return e.misuse(effectsVerifyUsage, "%s", wrong)
	}
	if *format != "text" && *format != "json" {
		return e.fail("there is no format %q; there are text and json", *format)
	}
	cfg, s, ok := serviceOf(e, *file, *service)
	if !ok {
		return exitError
	}
	if *minAge >= 0 {
		s.Effects.Verify.MinAge = *minAge
	}
	if *rate >= 0 {
		s.Effects.Verify.Rate = *rate
	}
	groups, skipped, err := verify.Groups(s.Effects, *table)
	if err == nil && len(groups) == 0 {
		err = fmt.Errorf("there is no table to compare: %s", strings.Join(skipped, "; "))
	}
	var o verify.Options
	if err == nil {
		o, err = verifyOptions(cfg, s)
	}
	if err != nil {
		return e.fail("cannot compare the databases of %q: %v", s.Name, err)
	}
	bar := &verifyBar{out: e.stderr, now: time.Now, terminal: isTerminal(e.stderr)}
	bar.shown = bar.now()
	o.Progress = bar.tell
	result, err := verify.Run(ctx, groups, o)
	bar.end()
	if err != nil {
		return e.fail("cannot compare the databases of %q: %v", s.Name, err)
	}
	if *format == "json" {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(verified{Result: result, Same: !result.Differ(), Skipped: skipped})
	} else {
		err = printVerified(e.stdout, result, skipped)
	}
	switch {
	case err != nil:
		return e.fail("cannot write what was found: %v", err)
	case result.Differ():
		return exitNot
	}
	return exitGood
}

// verifyOptions returns what a service's databases are compared by. Values are redacted
// as everything that Parallax stores.
func verifyOptions(cfg Config, s ServiceConfig) (verify.Options, error) {
	rules, _ := compare.Compile(s.Rules) // loaded without a fault
	o := verify.Options{MinAge: s.Effects.Verify.MinAge, Rate: float64(s.Effects.Verify.Rate), Rules: rules}
	all, err := loadKeys(cfg.Keys)
	if err == nil {
		o.Redactor, _ = compare.NewRedactor(all.redaction, s.Redact) // loaded without a fault
	}
	return o, err
}

// verified is what is printed as JSON.
type verified struct {
	verify.Result
	Same    bool     `json:"same"`
	Skipped []string `json:"skipped,omitempty"` // tables that cannot be compared, with the reason
}

// printVerified writes what was found for people: a line a table, below it its
// differences and notes.
func printVerified(w io.Writer, r verify.Result, skipped []string) error {
	var b strings.Builder
	total, more := 0, false
	for _, t := range r.Tables {
		total, more = total+len(t.Differences), more || t.More
		name := t.Table
		if t.Candidate != "" {
			name += " / " + t.Candidate
		}
		fmt.Fprintf(&b, "%s: %s by %s; %d and %d rows in %s, %.0f/s\n", name, howMany(len(t.Differences), t.More), t.By,
			t.Rows[0], t.Rows[1], t.Took.Round(time.Millisecond), float64(t.Rows[0])/max(t.Took.Seconds(), 1e-3))
		for _, d := range t.Differences {
			b.WriteString("  " + differenceLine(d) + "\n")
		}
		if t.Young > 0 {
			fmt.Fprintf(&b, "  # %d rows differ and are too young to judge (%s)\n", t.Young, t.Age)
		}
		if t.Late > 0 {
			fmt.Fprintf(&b, "  # %d rows differed at first and not a moment later\n", t.Late)
		}
		if t.Ruled > 0 {
			fmt.Fprintf(&b, "  # %d differences are meant, as rules say\n", t.Ruled)
		}
		for _, note := range t.Notes {
			fmt.Fprintf(&b, "  # %s\n", note)
		}
	}
	for _, each := range skipped {
		fmt.Fprintf(&b, "# not compared: %s\n", each)
	}
	fmt.Fprintf(&b, "%s in %d rows of %d tables, compared in %s\n", howMany(total, more), r.Rows(), len(r.Tables), r.Ended.Sub(r.Began).Round(time.Millisecond))
	_, err := io.WriteString(w, b.String())
	return err
}

func howMany(n int, more bool) string {
	switch {
	case more:
		return fmt.Sprintf("more than %d differences", n)
	case n == 0:
		return "same"
	case n == 1:
		return "1 difference"
	}
	return fmt.Sprintf("%d differences", n)
}

// differenceLine writes one difference: id=7 total: 1 -> 2.
func differenceLine(d verify.Difference) string {
	var b strings.Builder
	for _, v := range d.Key {
		fmt.Fprintf(&b, "%s=%s ", v.Name, v.Value)
	}
	if d.Column != "" {
		b.WriteString(d.Column + " ")
	}
	switch d.Kind {
	case compare.Missing:
		fmt.Fprintf(&b, "is missing on the candidate: %s", d.Primary)
	case compare.Extra:
		fmt.Fprintf(&b, "is only on the candidate: %s", d.Candidate)
	default:
		fmt.Fprintf(&b, "%s: %s -> %s", d.Kind, d.Primary, d.Candidate)
	}
	return b.String()
}

// verifyBar shows how far a comparison of tables is: a bar on a terminal, plain lines
// elsewhere.
type verifyBar struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	shown    time.Time
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// tell shows the state if it was not shown lately.
func (b *verifyBar) tell(p verify.Progress) {
	every := lineEvery
	if b.terminal {
		every = barEvery
	}
	now := b.now()
	if now.Sub(b.shown) < every && p.Waits == 0 {
		return
	}
	b.shown = now
	if b.terminal {
		fmt.Fprintf(b.out, "\r\x1b[K%s", barText(p))
		return
	}
	fmt.Fprintln(b.out, barText(p))
}

func (b *verifyBar) end() {
	if b.terminal {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

// barText is one state.
func barText(p verify.Progress) string {
	text := fmt.Sprintf("%s (%d of %d): %d rows, %.0f/s", p.Table, p.Number, p.Of, p.Rows, p.Rate)
	if p.Guessed > 0 {
		share := min(float64(p.Rows)/float64(p.Guessed), 1)
		full := int(share * barWidth)
		text = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*share, text)
	}
	if p.Left > 0 {
		text += fmt.Sprintf(", %s left", p.Left.Round(time.Second))
	}
	if p.Suspects > 0 {
		text += fmt.Sprintf("; %d rows differ at first sight", p.Suspects)
	}
	if p.Waits > 0 {
		text += fmt.Sprintf(", looked at again in %s", p.Waits)
	}
	return text
}
