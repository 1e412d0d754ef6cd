package mirror

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror/split"
	"parallax/mirror/upstream"
)

// Service is what the mirror needs to know of one service: its listener, its
// legs and what may be sent to them. The doc tags are the documentation of the
// keys; the published schema has them.
type Service struct {
	Name          string       `yaml:"name" doc:"what the service is called in pages, metrics and the API"`
	Listen        string       `yaml:"listen" doc:"address that callers use, such as 127.0.0.1:8080"`
	TLS           ListenerTLS  `yaml:"tls" doc:"certificate of the listener; without one callers are served in the clear"`
	Primary       LegConfig    `yaml:"primary" doc:"the old version"`
	Candidate     LegConfig    `yaml:"candidate" doc:"the new version; without urls requests are passed on and nothing is mirrored"`
	Secondary     LegConfig    `yaml:"secondary" doc:"a second instance of the old version, to tell noise; without urls noise is not measured"`
	Endpoints     []string     `yaml:"endpoints" doc:"method and route template, such as GET /orders/{id} or GET /files/{rest...}; unlisted paths are templated and capped"`
	OpenAPI       string       `yaml:"openapi" doc:"OpenAPI 3.0 or 3.1 document, JSON or YAML, whose operations are endpoints too, as seen from this file; where both describe a path, endpoints decides"`
	GraphQL       []string     `yaml:"graphql" doc:"paths at which GraphQL is spoken, such as /graphql; each operation is an endpoint by its name, queries are safe"`
	Timeouts      Timeouts     `yaml:"timeouts" doc:"how long callers may take"`
	Mirror        Options      `yaml:"mirror" doc:"what is sent to the other legs, and how"`
	Tap           bool         `yaml:"tap" doc:"another proxy serves the callers and sends copies of their requests to listen: each is answered 202 at once and then sent to all legs, the primary included"`
	Split         split.Config `yaml:"split" doc:"whose live leg is the candidate"`
	PartitionedBy string       `yaml:"partitioned_by" enum:"split.key" doc:"split.key: the users that it names share no data, so that with databases of their own on both legs they may be live on the candidate for unsafe requests too; empty: nobody says so"`

	Net Net `yaml:"net" doc:"what callers get when a live candidate fails"`

	Identifiers []ids.Config `yaml:"identifiers" doc:"values that each leg makes up by itself, such as order numbers and session tokens: shadow requests get those of their leg, and answers are compared by what they stand for"`

	Documented []string `yaml:"-"` // what the document in OpenAPI lists, as Endpoints are written; whoever reads the configuration fills it in
}

// LegConfig is where a leg is and what its writes touch.
type LegConfig struct {
	URLs     []LegURL      `yaml:"urls" doc:"where the leg's instances are: http or https, without a path; a name stands for all its addresses; srv+http://name for its SRV records, consul+http://service for what Consul knows; or {url: ..., weight: 3}"`
	Protocol Protocol      `yaml:"protocol" enum:"auto,http1,http2" doc:"what is spoken to the leg; auto: HTTP/2 where an https address offers it, else HTTP/1.1; http2 with an http address is HTTP/2 in the clear"`
	TLS      LegTLS        `yaml:"tls" doc:"how https addresses are spoken to"`
	Rewrite  []Rewrite     `yaml:"rewrite" doc:"changes of the path, the query and the host of the leg's requests, live or shadow"`
	Host     string        `yaml:"host" doc:"the Host of the leg's requests: keep for the caller's, leg for that of the instance, or a name; keep when empty"`
	State    State         `yaml:"state" enum:"none,dry,shared,follower,own" doc:"what the leg's writes touch; shared when not declared"`
	Outbound Outbound      `yaml:"outbound" enum:"contained,none" doc:"what becomes of the leg's calls to the outside (mails, payments, messages): contained if nothing gets out, none if it makes none; needed before a leg that is own or dry gets unsafe requests"`
	Jobs     Jobs          `yaml:"jobs" enum:"off,own" doc:"what becomes of the leg's timers and queue consumers: off if they do not run, own if they run on its own data alone; needed before a leg that is own or dry gets unsafe requests"`
	Version  string        `yaml:"version" doc:"where the leg's answers name its version, such as header:X-Version, of which 128 bytes count and which is not compared; empty: versions are not known"`
	Timeout  time.Duration `yaml:"timeout" doc:"how long the leg may take as the live leg, to the head of its answer, and how long an unsafe request goes on after its caller left; 1m when empty"`

	Request RequestChanges `yaml:"request" doc:"changes of the headers of the leg's requests, live or shadow, after those of mirror.request"`

	Balance     upstream.Policy `yaml:"balance" enum:"round_robin,least_in_flight,weighted,hash" doc:"how requests are shared out among the instances"`
	HashBy      string          `yaml:"hash_by" doc:"with balance: hash, what decides the instance: header:NAME, cookie:NAME, ip or path; requests without it take turns"`
	Resolve     time.Duration   `yaml:"resolve" doc:"how often names and SRV records are looked up, give or take a tenth"`
	Consul      string          `yaml:"consul" doc:"address of Consul, such as 127.0.0.1:8500; empty: CONSUL_HTTP_ADDR"`
	Connections Connections     `yaml:"connections" doc:"connections to each instance"`
	Health      upstream.Health `yaml:"health" doc:"how the instances are asked whether they are up"`
	Eject       upstream.Eject  `yaml:"eject" doc:"when an instance that fails requests is left alone for a while"`
	MaxRPS      float64         `yaml:"max_rps" doc:"requests a second that the leg gets as a shadow; further exchanges are lost, which may hold the verdict (mirror.max_rps thins without that), or go without the secondary; 0 for no bound"`
	Breaker     Breaker         `yaml:"breaker" doc:"when a leg that gives no answers is not asked as a shadow"`
}

// Options is the mirror block of a service.
type Options struct {
	Sample   float64       `yaml:"sample" doc:"share of exchanges that are mirrored, 0 to 1, by a hash of the exchange id; unsafe requests to a leg whose state is own are never left out"`
	Unsafe   Unsafe        `yaml:"unsafe" enum:"never,allowed" doc:"whether unsafe requests are mirrored where a leg's state permits it"`
	OrderBy  string        `yaml:"order_by" doc:"whose requests reach a shadow leg in the order in which the live leg answered them: those of one header:NAME, cookie:NAME, jwt:CLAIM (as in split.key) or ip; empty: all legs are asked at once"`
	MaxBody  parallax.Size `yaml:"max_body" doc:"bound of the copy of one body; a longer request is not mirrored, a longer answer is kept as its beginning, size and hash"`
	MaxSpool parallax.Size `yaml:"max_spool" doc:"bound on disk of the writes that a leg with a database of its own has missed and is still to get; what does not fit is given up, and what it was about is not compared any more"`
	Timeout  time.Duration `yaml:"timeout" doc:"how long a shadow leg may take to answer completely, from when it is asked; with order_by a request waits up to twice as long before that"`
	InFlight int           `yaml:"in_flight" doc:"how many requests may wait for one shadow leg at a time; a further exchange is not mirrored, and counted, or goes without the secondary if only that one is full"`
	Request  ShadowChanges `yaml:"request" doc:"changes of the headers of shadow requests"`

	MaxRPS   float64         `yaml:"max_rps" doc:"how many exchanges a second are mirrored at most; each is one request to every other leg; 0 for no bound"`
	Watchdog WatchdogOptions `yaml:"watchdog" doc:"pauses mirroring when the live leg gets slower by it"`
	Adaptive bool            `yaml:"adaptive" doc:"share max_rps out among the endpoints, so that rare ones are mirrored whole and only common ones are thinned"`

	AskAgain AskAgain `yaml:"ask_again" doc:"how many diverging safe exchanges are asked again on both legs, to tell whether the primary's state moved in between"`

	Endpoints map[string]EndpointOptions `yaml:"endpoints" doc:"what is declared of single endpoints, by name or by a pattern as in split.endpoints"`
}

// ShadowChanges are declared changes of shadow requests.
type ShadowChanges struct {
	RequestChanges `yaml:",inline"`
	Mask           []string `yaml:"mask" doc:"fields that the candidate does not see while it is a shadow, as header:NAME, cookie:NAME, query:NAME or a path in a JSON or form body such as $.card.number; each is replaced by a made-up value of the same shape, and a request whose body cannot be read for it is not sent"`
}

// RequestChanges are declared changes of a request's headers. Removals go first.
type RequestChanges struct {
	Set    map[string]string `yaml:"set" doc:"headers to set"`
	Remove []string          `yaml:"remove" doc:"headers to remove"`
}

// Unsafe says whether unsafe requests are mirrored at all.
type Unsafe string

// The values of mirror.unsafe. The zero value means never.
const (
	UnsafeNever   Unsafe = "never"
	UnsafeAllowed Unsafe = "allowed"
)

// DefaultOptions are the values of the mirror block where it is silent.
func DefaultOptions() Options {
	return Options{
		Sample:   1,
		Unsafe:   UnsafeNever,
		MaxBody:  1 << 20,
		MaxSpool: 256 << 20,
		Timeout:  5 * time.Second,
		InFlight: 256,
		Watchdog: DefaultWatchdog(),
		AskAgain: DefaultAskAgain(),
	}
}

var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Validate returns everything that is wrong with the service, with paths as
// seen from the service.
func (s Service) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if !serviceName.MatchString(s.Name) {
		faults = append(faults, parallax.Fault{
			Path: "name", Text: fmt.Sprintf("cannot use %q as the name of a service", s.Name),
			Hint: "write up to 63 of a-z, 0-9, dot, dash and underscore",
		})
	}
	if len(s.Primary.URLs) == 0 {
		faults = append(faults, parallax.Fault{Path: "primary.urls", Text: "the primary has no address", Hint: `write urls: ["http://127.0.0.1:9001"]`})
	}
	faults = append(faults, parallax.Under("primary", s.Primary.validate(s.Listen))...)
	faults = append(faults, parallax.Under("candidate", s.Candidate.validate(s.Listen))...)
	faults = append(faults, parallax.Under("secondary", s.Secondary.validate(s.Listen))...)
	faults = append(faults, parallax.Under("tls", s.TLS.Validate())...)
	orDefault(&s.Timeouts, DefaultTimeouts())
	faults = append(faults, parallax.Under("timeouts", s.Timeouts.Validate())...)
	faults = append(faults, s.contradictions()...)
	for i, e := range s.Endpoints {
		if _, err := parseRoute(e); err != nil {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("endpoints[%d]", i), Text: err.Error(), Hint: `write a method and a template, such as "GET /orders/{id}" or "GET /files/{rest...}"`})
		}
	}
	faults = append(faults, s.validateGraphQL()...)
	faults = append(faults, parallax.Under("mirror", s.Mirror.Validate())...)
	faults = append(faults, s.idleDeclarations()...)
	faults = append(faults, parallax.Under("net", append(s.idleNet(), s.Net.validate()...))...)
	faults = append(faults, s.undeclaredActs()...)
	faults = append(faults, s.parts()...)
	_, wrong := ids.Compile(s.Identifiers)
	faults = append(faults, parallax.Under("identifiers", wrong)...)
	return append(faults, parallax.Under("split", s.Split.Validate())...)
}

// contradictions returns states of the legs that cannot be true together. The
// primary's says what it writes as the shadow of a live candidate. Unless the
// candidate has a database of its own, that is the database the candidate has
// just written to.
func (s Service) contradictions() []parallax.Fault {
	if s.Tap {
		return s.tapContradictions()
	}
	if len(s.Candidate.URLs) == 0 || s.Candidate.State == Own {
		return nil
	}
	switch s.Primary.State {
	case None, Dry, Follower, Own:
		return []parallax.Fault{{
			Path: "primary.state",
			Text: fmt.Sprintf("the primary cannot be %s beside a candidate that is %s", s.Primary.State, s.Candidate.State.orShared()),
			Hint: "leave it out; it counts only when candidate.state is own",
		}}
	}
	return nil
}

// tapContradictions returns what makes no sense where another proxy serves the
// callers. Each leg's state stands for itself there: no leg is live.
func (s Service) tapContradictions() []parallax.Fault {
	var faults []parallax.Fault
	if len(s.Candidate.URLs) == 0 {
		faults = append(faults, parallax.Fault{Path: "candidate.urls", Text: "with tap there is nothing to do without a candidate", Hint: `write urls: ["http://127.0.0.1:9002"]`})
	}
	if c := s.Split; c.Key != "" || c.Salt != "" || len(c.Endpoints) > 0 || len(c.Pin) > 0 {
		faults = append(faults, parallax.Fault{Path: "split", Text: "with tap another proxy decides who answers the callers", Hint: "take it out; mirror.order_by has a key of its own"})
	}
	return faults
}

// Validate returns everything that is wrong with the leg.
func (l LegConfig) Validate() []parallax.Fault { return l.validate("") }

func (l LegConfig) validate(listen string) []parallax.Fault {
	faults := append(l.State.validate(), l.validateContained()...)
	for i, text := range l.URLs {
		at := fmt.Sprintf("urls[%d]", i)
		how, u, err := parseAddress(text.URL)
		switch {
		case err != nil:
			faults = append(faults, parallax.Fault{Path: at, Text: err.Error(), Hint: "write http://host:port, srv+http://name or consul+http://service"})
		case how == byName && leadsTo(u, listen):
			faults = append(faults, parallax.Fault{Path: at, Text: "this is the service's own listener", Hint: "write where the leg itself listens"})
		}
	}
	faults = append(faults, l.Protocol.validate()...)
	faults = append(faults, l.validateRewriting()...)
	faults = append(faults, parallax.Under("tls", l.TLS.Validate())...)
	if _, err := parseVersion(l.Version); err != nil {
		faults = append(faults, parallax.Fault{Path: "version", Text: err.Error(), Hint: "write header:X-Version"})
	}
	if l.Timeout < 0 {
		faults = append(faults, parallax.Fault{Path: "timeout", Text: "a timeout cannot be negative", Hint: "write 1m, or leave it out"})
	}
	return append(faults, l.validatePool()...)
}

// Validate returns everything that is wrong with the mirror block.
func (o Options) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if !(o.Sample >= 0 && o.Sample <= 1) {
		fault("sample", "write a number from 0 to 1", "a share of %v", o.Sample)
	}
	if o.Unsafe != "" && o.Unsafe != UnsafeNever && o.Unsafe != UnsafeAllowed {
		fault("unsafe", "write never or allowed", "unknown value %q", o.Unsafe)
	}
	if _, err := split.ParseKey(o.OrderBy); err != nil {
		fault("order_by", split.KeyHint, "%v", err)
	}
	if o.MaxBody <= 0 || o.MaxBody > 1<<30 {
		fault("max_body", "write a size from 1B to 1GiB", "a bound of %s", o.MaxBody)
	}
	if o.MaxSpool < 0 {
		fault("max_spool", "write a size such as 256MiB, or 0 to keep nothing", "a bound of %s", o.MaxSpool)
	}
	if o.Timeout <= 0 {
		fault("timeout", "write a duration such as 5s", "a shadow leg needs a deadline, not %s", o.Timeout)
	}
	if o.InFlight <= 0 {
		fault("in_flight", "write a number such as 256", "%d exchanges in flight", o.InFlight)
	}
	if !(o.MaxRPS >= 0 && o.MaxRPS <= 1e9) {
		fault("max_rps", "write a number such as 500, or 0 for no bound", "%v exchanges a second", o.MaxRPS)
	}
	if o.Adaptive && o.MaxRPS == 0 {
		fault("adaptive", "set max_rps", "there is no budget to share out")
	}
	faults = append(faults, parallax.Under("watchdog", o.Watchdog.Validate())...)
	faults = append(faults, parallax.Under("ask_again", o.AskAgain.Validate())...)
	faults = append(faults, o.validateEndpoints()...)
	_, wrong := newMask(o.Request.Mask, nil)
	return append(faults, parallax.Under("request", append(o.Request.validate(), wrong...))...)
}

func (c RequestChanges) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		switch {
		case !parallax.IsToken(name):
			fault("set."+name, headerHint, "%q cannot be the name of a header", name)
		case forbidden(name):
			fault("set."+name, "", "Parallax or HTTP itself decides this header")
		case !parallax.IsFieldValue(c.Set[name]):
			fault("set."+name, "write it on one line", "the value holds a line break or another control character")
		}
	}
	for i, name := range c.Remove {
		path := fmt.Sprintf("remove[%d]", i)
		switch {
		case !parallax.IsToken(name):
			fault(path, headerHint, "%q cannot be the name of a header", name)
		case forbidden(name):
			fault(path, "", "%s is not removed: Parallax or HTTP itself decides it", name)
		}
	}
	return faults
}

const headerHint = "write a name such as X-Shadow"

// forbidden reports whether a header is not the configuration's to change.
func forbidden(name string) bool {
	switch {
	case hopByHop(name), ours(name):
		return true
	case strings.EqualFold(name, "Host"), strings.EqualFold(name, "Content-Length"):
		return true
	}
	return false
}

func newChanges(c RequestChanges) changes {
	out := changes{remove: c.Remove}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		out.set = append(out.set, parallax.Field{Name: name, Value: c.Set[name]})
	}
	return out
}

// parseURL reads an address. Its errors quote no more than the host: anything
// else may hold credentials.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("cannot read this address")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("cannot use this address: it needs http:// or https:// and a host")
	case u.User != nil:
		return nil, fmt.Errorf("cannot use the address of host %q: it holds credentials", u.Host)
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("cannot use the address of host %q: a request keeps its own path and query, so the address has none", u.Host)
	}
	return u, nil
}

// leadsTo reports whether an address is plainly that of a listener: the same
// port, and the same host or two spellings of this machine. An address that leads
// there by another way is found out when a request comes back.
func leadsTo(u *url.URL, listen string) bool {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" || port != portOf(u) {
		return false
	}
	if strings.EqualFold(host, u.Hostname()) {
		return true
	}
	for _, at := range local(host) {
		for _, to := range local(u.Hostname()) {
			if at == to || at.IsUnspecified() && (to.IsLoopback() || to.IsUnspecified()) && (at.Is6() || to.Is4()) {
				return true
			}
			if to.IsUnspecified() && at.IsLoopback() { // whoever asks for it gets the loopback
				return true
			}
		}
	}
	return false
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// local returns the addresses a host stands for as far as that is known without
// asking: none for a name.
func local(host string) []netip.Addr {
	four, six := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	if strings.EqualFold(host, "localhost") {
		return []netip.Addr{four, six}
	}
	if host == "" {
		return []netip.Addr{netip.IPv6Unspecified()} // of both families
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}
	}
	return nil
}

// VersionHeaders are the answer headers in which legs name their versions.
func (s Service) VersionHeaders() (names []string) {
	for _, l := range []LegConfig{s.Primary, s.Candidate, s.Secondary} {
		if name, err := parseVersion(l.Version); err == nil && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// parseVersion returns the answer header that names a leg's version, "" when
// there is none.
func parseVersion(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	name, ok := strings.CutPrefix(text, "header:")
	if !ok || !parallax.IsToken(name) {
		return "", fmt.Errorf("cannot read version source %q", text)
	}
	return name, nil
}
