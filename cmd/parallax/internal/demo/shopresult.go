package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"parallax/divergence"
	"parallax/reports"
)

// ShopResult is what a run of the demo of the shop found. It is what --json prints.
type ShopResult struct {
	URL     string             `json:"url"`
	Sent    int64              `json:"sent"`
	Errors  []string           `json:"errors"` // that callers saw, the first ones
	Paid    int64              `json:"paid"`   // orders that shoppers paid for: each is due one mail
	Mails   int64              `json:"mails"`  // that arrived
	Found   []Planted          `json:"planted"`
	Slower  []Slower           `json:"slower"` // endpoints that took much longer although nobody planted that
	Others  []divergence.Issue `json:"others"` // issues that are no planted defect
	Report  reports.Report     `json:"report"`
	Written map[string]uint64  `json:"written"` // row changes by leg and how they found their exchange
	Good    bool               `json:"good"`
	Broken  []string           `json:"broken_promises"` // why Good is false
}

// brokenShop lists why a run is not good.
func brokenShop(r ShopResult) []string {
	list := []string{}
	for _, e := range r.Errors {
		list = append(list, "a shopper saw an error: "+e)
	}
	for _, p := range r.Found {
		for _, place := range p.Missing() {
			list = append(list, fmt.Sprintf("%s was not found at %s", p.Defect.Name, place))
		}
	}
	for _, i := range r.Others {
		list = append(list, fmt.Sprintf("%s of %s differs, and nobody planted that", i.Path, i.Endpoint))
	}
	if r.Mails != r.Paid {
		list = append(list, fmt.Sprintf("%d orders were paid for, and %d mails were sent", r.Paid, r.Mails))
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
	return append(list, r.unknown()...)
}

// Shares of all exchanges that may be without a judgement, and of all writes that may be
// without an exchange: what is not known is not taken for good.
const (
	maxNotComparable = 0.05
	maxUnattributed  = 0.01
)

// unknown lists what was not compared, where that is more than a little.
func (r ShopResult) unknown() (list []string) {
	unknown := r.Report.Accounting.Compared["not_comparable"] - r.uncompared()[inherited]
	if float64(unknown) > maxNotComparable*float64(r.Sent) {
		list = append(list, fmt.Sprintf("%d of %d exchanges could not be compared: %s", unknown, r.Sent, r.reasons()))
	}
	var all, none uint64
	for what, n := range r.Written {
		all += n
		if strings.HasSuffix(what, " unattributed") {
			none += n
		}
	}
	if float64(none) > maxUnattributed*float64(all) {
		list = append(list, fmt.Sprintf("%d of %d writes found no exchange", none, all))
	}
	return list
}

// inherited is the reason of exchanges in which only rows differ that a defect has spoilt
// before. It is known what they are.
const inherited = "inherited"

// uncompared counts the exchanges that could not be compared, by reason.
func (r ShopResult) uncompared() map[string]int64 {
	sum := map[string]int64{}
	for _, e := range r.Report.Endpoints {
		for reason, n := range e.NotComparableReasons {
			sum[reason] += n
		}
	}
	return sum
}

// reasons says why exchanges could not be compared.
func (r ShopResult) reasons() string {
	sum := r.uncompared()
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(sum)) {
		list = append(list, fmt.Sprintf("%s %d", reason, sum[reason]))
	}
	return strings.Join(list, ", ")
}

// tellShop prints the result, for people or for machines.
func (d *shopDemo) tellShop(r ShopResult) error {
	if d.JSON {
		encoder := json.NewEncoder(d.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if d.Exit {
		r.URL = "" // the pages end with this
	}
	_, err := io.WriteString(d.Stdout, r.text())
	return err
}

// text is the result for people.
func (r ShopResult) text() string {
	var b strings.Builder
	c := r.Report.Accounting.Compared
	fmt.Fprintf(&b, "\nParallax asked both versions %s times, and compared what they answered, wrote, mailed and took:\n", thousands(r.Sent))
	fmt.Fprintf(&b, "%s equal, %s different, %s not comparable", thousands(c["match"]), thousands(c["diverged"]), thousands(c["not_comparable"]))
	if c["not_comparable"] > 0 {
		fmt.Fprintf(&b, " (%s)", r.reasons())
	}
	fmt.Fprintf(&b, ".\n%s orders were paid for, and %s mails left the house: those of the old version. The new one's were kept in.\n", thousands(r.Paid), thousands(r.Mails))
	for n, p := range r.Found {
		fmt.Fprintf(&b, "\n%d. %s: the new version %s\n", n+1, p.Defect.Name, p.Defect.Does)
		p.write(&b, r.URL)
	}
	for _, s := range r.Slower {
		fmt.Fprintf(&b, "\nNot planted, and so by chance or by load: %s\n", s)
	}
	r.writeEnd(&b)
	if r.URL == "" {
		b.WriteString("\nIts pages are gone; without --exit they stay open: parallax demo --shop\n")
	}
	return b.String()
}

// write prints the issues of a defect, those at one place together.
func (p Planted) write(b *strings.Builder, page string) {
	var places []string
	for _, i := range p.Issues {
		if !slices.Contains(places, i.Path) {
			places = append(places, i.Path)
		}
	}
	slices.SortStableFunc(places, func(x, y string) int { return slices.Index(p.Places, y) - slices.Index(p.Places, x) }) // what answers show comes last
	for _, place := range places {
		var first divergence.Issue
		var where []string
		for _, i := range p.Issues {
			if i.Path != place {
				continue
			}
			if len(where) == 0 {
				first = i
			}
			where = append(where, fmt.Sprintf("%s of %s", thousands(i.Count), i.Endpoint))
		}
		before, after := values(first.Primary, first.Candidate)
		fmt.Fprintf(b, "   %s %s in %s\n", place, first.Kind, strings.Join(where, ", "))
		if p.Counts != "" && place == "effects:"+sink {
			fmt.Fprintf(b, "     %s\n", p.Counts)
		}
		fmt.Fprintf(b, "     old  %s\n     new  %s\n", before, after)
	}
	if p.Slow != nil {
		fmt.Fprintf(b, "   %s\n", p.Slow)
	}
	for _, place := range p.Missing() {
		fmt.Fprintf(b, "   NOT FOUND at %s\n", place)
	}
	if len(p.Issues) > 0 && page != "" {
		fmt.Fprintf(b, "   %s/services/%s/issues/%s\n", page, shopService, p.Issues[0].Fingerprint)
	}
}

// String is the line about a slow endpoint.
func (s Slower) String() string {
	return fmt.Sprintf("%s takes %.1f times as long: half of %s answers within %.1f ms -> %.1f ms", s.Endpoint, s.Ratio(), thousands(s.Compared), s.Primary*1e3, s.Candidate*1e3)
}

// writeEnd says what came of it.
func (r ShopResult) writeEnd(b *strings.Builder) {
	switch {
	case r.Good && len(r.Found) == 0:
		b.WriteString("\nNo defect was planted, and nothing was reported.\n")
	case r.Good:
		fmt.Fprintf(b, "\nEvery planted defect was found (%d of %d), and nothing else was reported. No shopper noticed anything.\n", len(r.Found), len(r.Found))
	}
	for _, why := range r.Broken {
		fmt.Fprintf(b, "\nNOT AS PLANTED: %s\n", why)
	}
}
