package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
	"parallax/mirror"
	"parallax/reports"
)

// wayOut is how one service is taken out of Parallax, as its configuration says, in the
// order in which it is to be done. It names headers and never their values, which may be secrets.
type wayOut struct {
	cfg    Config
	file   string // of the configuration
	server string // of the admin pages
	s      ServiceConfig
	to     parallax.Leg // that goes on
}

// sections is all of it.
func (o wayOut) sections() []reports.Section {
	var out []reports.Section
	for _, s := range []reports.Section{
		{Title: "keep what was decided", Lines: o.keep()},
		{Title: "let nothing move by itself", Lines: o.still()},
		{Title: "make the " + o.to.String() + " ready to stand alone", Lines: o.ready()},
		{Title: "move the callers", Lines: o.callers()},
		{Title: "end Parallax for this service", Lines: o.stop()},
		{Title: "clean up", Lines: o.clean()},
	} {
		if len(s.Lines) > 0 {
			out = append(out, reports.Section{Title: fmt.Sprintf("Taking Parallax out, %d: %s", len(out)+1, s.Title), Lines: s.Lines})
		}
	}
	return out
}

// unknownWayOut is what can be said without the configuration.
func unknownWayOut(to parallax.Leg, urls []string) []reports.Section {
	return []reports.Section{{Title: "Taking Parallax out", Lines: []string{
		fmt.Sprintf("Callers go to the %s afterwards: %s.", to, strings.Join(urls, ", ")),
		"Give the configuration with -c FILE to be told what else stands in the way: headers, rewrites, splitters, databases, files.",
	}}}
}

func (o wayOut) leg() mirror.LegConfig {
	if o.to == parallax.Primary {
		return o.s.Primary
	}
	return o.s.Candidate
}

func (o wayOut) keep() []string {
	return []string{
		fmt.Sprintf("Keep this report, and the evidence: parallax verdict --server %s --service %s --export %s-evidence.jsonl", o.server, o.s.Name, o.s.Name),
		fmt.Sprintf("Keep the chain of decisions, %s, with its older files beside it (.verdicts.N); parallax audit verify --file says that it is whole.", reports.ChainPath(o.cfg.StateDir, o.s.Name)),
	}
}

func (o wayOut) still() []string {
	out := []string{"Take the question for the verdict out of CI and delivery tools: they wait for ever once nobody answers."}
	if o.s.Promotion.Auto {
		out = append(out, "Write promotion.auto: false and reload: nobody is moved while callers are.")
	}
	return out
}

// ready is what Parallax did to the requests of the leg, which somebody else does now or
// nobody.
func (o wayOut) ready() []string {
	leg, name := o.leg(), o.to.String()
	out := slices.Concat(o.headers(), rewrites(name, leg), o.state(), o.outward())
	if o.s.TLS.Cert != "" {
		out = append(out, fmt.Sprintf("Callers speak TLS to %s with the certificate %s: the %s, or what stands before it, needs it.", o.s.Listen, o.s.TLS.Cert, name))
	}
	if o.s.TLS.ClientCA != "" {
		out = append(out, "Certificates of callers are checked against tls.client_ca here: somebody else has to.")
	}
	if leg.Protocol == mirror.ProtocolHTTP2 {
		out = append(out, fmt.Sprintf("Parallax speaks HTTP/2 to the %s: callers have to, or what stands before it.", name))
	}
	if len(leg.URLs) > 1 || strings.Contains(firstURL(leg), "+http") {
		out = append(out, fmt.Sprintf("Parallax balances the instances of the %s (%s), asks whether they are up and leaves failing ones alone: a balancer has to take their place.", name, strings.Join(urlsOf(leg), ", ")))
	}
	if o.s.Net.Wait > 0 && o.to == parallax.Candidate {
		out = append(out, "The safety net (net) ends: callers see the candidate's failures.")
	}
	return out
}

func firstURL(leg mirror.LegConfig) string {
	if len(leg.URLs) == 0 {
		return ""
	}
	return leg.URLs[0].URL
}

// headers are those that come no more, or come as callers sent them.
func (o wayOut) headers() []string {
	out := []string{
		"These come no more: X-Parallax-Exchange, X-Parallax-Leg, X-Parallax-Role, the member of baggage that Parallax signs, and a traceparent where the caller sends none. What callers send as X-Parallax-* is not dropped any more.",
	}
	change := o.leg().Request
	if set := slices.Sorted(maps.Keys(change.Set)); len(set) > 0 {
		out = append(out, fmt.Sprintf("%s.request sets %s: the callers or the %s have to.", o.to, strings.Join(set, ", "), o.to))
	}
	if len(change.Remove) > 0 {
		out = append(out, fmt.Sprintf("%s.request removes %s: they come through.", o.to, strings.Join(change.Remove, ", ")))
	}
	for _, how := range o.s.Effects.Correlate { // which has a default, so that it says nothing by itself
		if o.s.Effects.HasDatabases() && (how == "tag" || how == "trace" || strings.HasPrefix(how, "column:")) {
			out = append(out, fmt.Sprintf("Transactions name their exchange (effects.correlate: %s): the code that does must take requests without X-Parallax-Exchange, and can go.", strings.Join(o.s.Effects.Correlate, ", ")))
			break
		}
	}
	return out
}

func rewrites(name string, leg mirror.LegConfig) []string {
	var out []string
	for _, r := range leg.Rewrite {
		out = append(out, fmt.Sprintf("%s.rewrite: %s. Callers have to ask so, or the %s has to take what they ask.", name, rewriteText(r), name))
	}
	if leg.Host != "" && leg.Host != "keep" {
		out = append(out, fmt.Sprintf("%s.host is %s: the Host that callers send comes through afterwards.", name, leg.Host))
	}
	return out
}

func rewriteText(r mirror.Rewrite) string {
	to := "is removed"
	switch {
	case r.To != nil:
		to = "becomes " + *r.To
	case r.Set != nil:
		to = "gets another value"
	}
	switch {
	case r.Path != "":
		return fmt.Sprintf("a path like %s %s", r.Path, to)
	case r.Host != "":
		return fmt.Sprintf("a host like %s %s", r.Host, to)
	}
	return fmt.Sprintf("a parameter like %s %s", r.Query, to)
}

// state is what moves with the callers beyond what the step moved, and what data it meets.
func (o wayOut) state() []string {
	if o.to == parallax.Primary {
		return o.pinned(parallax.Candidate, "They are there at step 0 too, with what they wrote, and move with the callers.")
	}
	var out []string
	c, split := o.s.Candidate, o.s.Split
	if len(split.Live()) > 0 {
		out = append(out, fmt.Sprintf("Only %s went live on the candidate (split): all else is answered by the primary until the callers move, and then at once by the candidate.", strings.Join(split.Live(), ", ")))
	}
	if !c.State.MayBeLive(false) && o.s.PartitionedBy == "" {
		out = append(out, fmt.Sprintf("With state: %s unsafe requests are answered by the primary, at step 10000 too: they move with the callers.", c.State))
	}
	switch c.State {
	case mirror.Own:
		out = append(out, "The candidate's database is its own: see first that it holds what the primary's does (parallax effects verify), and stop writing to the primary's at the moment the callers move.")
	case mirror.Follower:
		out = append(out, "The candidate's database follows the primary's: end the replication and let it take writes at the moment the callers move.")
	}
	out = append(out, o.pinned(parallax.Primary, "They move with the callers.")...)
	for _, id := range o.s.Identifiers {
		out = append(out, identifierText(id.Name, id.Compatible))
	}
	return out
}

// pinned says how many users are on a leg whatever the step, and what becomes of them.
func (o wayOut) pinned(to parallax.Leg, become string) []string {
	n := 0
	for _, leg := range o.s.Split.Pin {
		if leg == to.String() {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Users who are pinned to the %s (split.pin): %d. %s", to, n, become)}
}

func identifierText(name string, compatible bool) string {
	if compatible {
		return fmt.Sprintf("Identifiers %q are declared compatible: the candidate takes those that callers got from the primary.", name)
	}
	return fmt.Sprintf("Identifiers %q are translated on shadow requests alone: callers hold the primary's, and the candidate must know them before it stands alone.", name)
}

// outward are the candidate's calls and jobs, which were kept in while it was a shadow.
func (o wayOut) outward() []string {
	var out []string
	if c := o.s.Candidate; o.to == parallax.Candidate {
		if c.Outbound == mirror.OutboundContained {
			out = append(out, "candidate.outbound is contained: let its mails, payments and messages out when it stands alone.")
		}
		if c.Jobs == mirror.JobsOff {
			out = append(out, "candidate.jobs is off: turn the primary's jobs off, then the candidate's on.")
		}
	}
	if o.s.Egress.Listen != "" {
		out = append(out, fmt.Sprintf("The legs call others through the proxy %s (egress): take it out of HTTP_PROXY and HTTPS_PROXY of the %s, and let the network allow its calls, before Parallax ends.", o.s.Egress.Listen, o.to))
	}
	return out
}

// callers is where they point now, and afterwards.
func (o wayOut) callers() []string {
	if o.s.Tap {
		return []string{fmt.Sprintf("Callers are served by another proxy, which sends copies to %s: take that out of its configuration.", o.s.Listen)}
	}
	out := []string{
		fmt.Sprintf("Callers point at %s now; let them point at the %s afterwards: %s. The name they know, a balancer or DNS, may be moved share by share.", o.s.Listen, o.to, strings.Join(urlsOf(o.leg()), ", ")),
	}
	for _, p := range o.s.Split.Push {
		out = append(out, fmt.Sprintf("The splitter %s sends users by a step that Parallax writes: give it the %s alone by hand, and take out what deploy/splitters put there. It keeps the last step until then.", p.Called(), o.to))
	}
	if o.s.Split.Mint > 0 {
		out = append(out, fmt.Sprintf("Callers keep the cookie that names them to the split (%s) for up to %v: it does no harm, and nothing may come to need it.", o.s.Split.Key, o.s.Split.Mint))
	}
	return append(out, fmt.Sprintf("Wait until parallax_requests_total{service=%q} stands still at %s/metrics: nobody comes through Parallax any more.", o.s.Name, o.server))
}

func (o wayOut) stop() []string {
	if len(o.cfg.Services) > 1 {
		return []string{fmt.Sprintf("Take %s out of %s and reload (SIGHUP): the other services go on.", o.s.Name, o.file)}
	}
	return []string{"End parallax serve (SIGTERM): it lets callers finish first."}
}

// clean is what Parallax leaves in databases and on disks.
func (o wayOut) clean() []string {
	var out []string
	for _, leg := range []struct {
		name string
		dbs  []effects.Database
	}{{"primary", o.s.Effects.Primary}, {"candidate", o.s.Effects.Candidate}} {
		for _, d := range leg.dbs {
			out = append(out, databaseText(leg.name, d))
		}
	}
	if o.cfg.Identifiers.URL != "" && len(o.s.Identifiers) > 0 {
		out = append(out, fmt.Sprintf("Identifiers are in Redis, in keys that begin with %q: they end with their ttl.", o.cfg.Identifiers.Prefix))
	}
	if o.cfg.Steps.URL != "" {
		out = append(out, fmt.Sprintf("The step is in Redis, in keys that begin with %q: remove that of %s when no mirror serves it any more.", o.cfg.Steps.Prefix, o.s.Name))
	}
	out = append(out, o.other(), o.disks())
	return append(out, "As long as state_dir, keys and both versions are there, there is a way back: start Parallax again, and point callers at it. What the versions did meanwhile was not compared.")
}

func databaseText(leg string, d effects.Database) string {
	switch {
	case d.Outbox:
		return fmt.Sprintf("The %s sends envelopes of what it sends out to Parallax: take that out of it.", leg)
	case d.Debezium != "":
		return fmt.Sprintf("Debezium sends changes of the %s's database as %s: end that connector and its sink, and drop its replication slot in the database.", leg, d.Debezium)
	}
	name := ""
	if d.Publication != "" && d.Publication != postgres.DefaultPublication {
		name = " --publication " + d.Publication
	}
	return fmt.Sprintf("A publication, and where they were installed the triggers and the schema parallax, stay in the %s's database: parallax effects uninstall --dsn '%s'%s removes them; another service that reads that database needs them. The replication slot ends with Parallax.",
		leg, d.Postgres, name)
}

// other is the version that nobody needs any more.
func (o wayOut) other() string {
	left := parallax.Candidate
	if o.to == parallax.Candidate {
		left = parallax.Primary
	}
	text := fmt.Sprintf("Stop the %s, and its database where that is its own, once nobody would go back to it: nothing is compared or caught up there any more.", left)
	if len(o.s.Secondary.URLs) > 0 {
		text += " The secondary can be stopped at once."
	}
	return text
}

func (o wayOut) disks() string {
	store := fmt.Sprintf("the folder %s (store)", o.cfg.Store.Dir)
	if o.cfg.Store.ClickHouse != "" {
		store = "the rows of the service in ClickHouse (store.clickhouse)"
	}
	text := fmt.Sprintf("Remove %s when the report is enough: it holds redacted requests and answers. Of %s (state_dir) keep the chain; the rest and %s (keys), which reads the spool, can go.", store, o.cfg.StateDir, o.cfg.Keys)
	if len(o.cfg.Services) > 1 {
		text += " Other services use the same folders and keys: leave those while they run."
	}
	return text
}

func urlsOf(leg mirror.LegConfig) []string {
	out := make([]string, len(leg.URLs))
	for i, u := range leg.URLs {
		out[i] = u.URL
	}
	return out
}
