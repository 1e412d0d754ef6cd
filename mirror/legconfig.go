package mirror

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/mirror/split"
	"parallax/mirror/upstream"
)

// LegURL is one address of a leg: text, or a mapping with a weight.
type LegURL struct {
	URL    string `yaml:"url"`
	Weight int    `yaml:"weight,omitempty"` // 0 means 1
}

// LegURLs returns addresses without weights.
func LegURLs(texts ...string) []LegURL {
	out := make([]LegURL, len(texts))
	for i, text := range texts {
		out[i].URL = text
	}
	return out
}

// UnmarshalYAML reads an address, or {url: ..., weight: 3}.
func (u *LegURL) UnmarshalYAML(n *yaml.Node) error {
	errShape := errors.New(`want an address, or a mapping such as {url: "http://127.0.0.1:9001", weight: 3}`)
	if n.Kind == yaml.ScalarNode {
		u.URL = n.Value
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errShape
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var err error
		switch key, value := n.Content[i].Value, n.Content[i+1]; {
		case key == "url" && value.Kind == yaml.ScalarNode:
			u.URL = value.Value
		case key == "weight" && value.Kind == yaml.ScalarNode:
			err = value.Decode(&u.Weight)
		default:
			err = errShape
		}
		if err != nil {
			return errShape
		}
	}
	return nil
}

// MarshalYAML writes the shorter form where there is no weight.
func (u LegURL) MarshalYAML() (any, error) {
	if u.Weight == 0 {
		return u.URL, nil
	}
	type plain LegURL
	return plain(u), nil
}

// Connections bounds the connections to each instance of a leg. Callers' requests
// and shadow requests each have connections of their own.
type Connections struct {
	Max         int           `yaml:"max" doc:"connections to one instance at a time, further requests wait; those for shadow requests are bounded by mirror.in_flight too; 0 for no bound"`
	Idle        int           `yaml:"idle" doc:"unused connections that are kept to one instance"`
	IdleTimeout time.Duration `yaml:"idle_timeout" doc:"then an unused connection is closed; less than the time after which the instance would close it"`
}

// DefaultConnections is the connections block where it is silent. Many servers
// close an unused connection after 5 s.
func DefaultConnections() Connections {
	return Connections{Idle: 256, IdleTimeout: 4 * time.Second}
}

// forShadows returns the bounds for shadow requests, of which at most so many are
// under way. As many connections as may be in use are kept, unless the
// configuration says otherwise.
func (c Connections) forShadows(inFlight int) Connections {
	if c.Max == 0 || c.Max > inFlight {
		c.Max = inFlight
	}
	if c.Idle == DefaultConnections().Idle {
		c.Idle = max(c.Idle, c.Max)
	}
	return c
}

func (c Connections) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if c.Max < 0 {
		fault("max", "write a number, or 0 for no bound", "%d connections", c.Max)
	}
	if c.Idle < 1 {
		fault("idle", "write a number such as 256", "%d connections are kept", c.Idle)
	}
	if c.IdleTimeout <= 0 {
		fault("idle_timeout", "write a duration such as 4s", "kept for %s", c.IdleTimeout)
	}
	return faults
}

// DefaultLeg is a leg's configuration where it is silent.
func DefaultLeg() LegConfig {
	return LegConfig{
		Balance: upstream.RoundRobin, Resolve: upstream.LookEvery, Connections: DefaultConnections(),
		Health: upstream.DefaultHealth(), Eject: upstream.DefaultEject(), Breaker: DefaultBreaker(),
	}
}

// orDefaults returns the configuration with the defaults for what is left out as
// a whole.
func (l LegConfig) orDefaults() LegConfig {
	d := DefaultLeg()
	orDefault(&l.Balance, d.Balance)
	orDefault(&l.Resolve, d.Resolve)
	orDefault(&l.Connections, d.Connections)
	orDefault(&l.Health, d.Health)
	orDefault(&l.Eject, d.Eject)
	orDefault(&l.Breaker, d.Breaker)
	return l
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

var policies = []upstream.Policy{upstream.RoundRobin, upstream.LeastInFlight, upstream.Weighted, upstream.Hash}

// validatePool returns everything that is wrong with how the leg's instances are
// found and shared out.
func (l LegConfig) validatePool() []parallax.Fault {
	l = l.orDefaults()
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if len(l.URLs) > upstream.MaxInstances {
		fault("urls", "give them a name with several addresses, and fewer of them", "%d addresses are more than the %d a leg may have", len(l.URLs), upstream.MaxInstances)
	}
	if !slices.Contains(policies, l.Balance) {
		fault("balance", "write round_robin, least_in_flight, weighted or hash", "unknown value %q", l.Balance)
	}
	if _, err := newHashKey(l.HashBy); err != nil {
		fault("hash_by", "write header:X-User, cookie:sid, jwt:sub, ip or path", "%v", err)
	}
	if (l.HashBy != "") != (l.Balance == upstream.Hash) {
		fault("hash_by", "write balance: hash and hash_by together", "balance is %s, and hash_by is %q", l.Balance, l.HashBy)
	}
	if l.MaxRPS < 0 {
		fault("max_rps", "write a number, or 0 for no bound", "%v requests a second", l.MaxRPS)
	}
	if strings.Contains(l.Consul, "@") {
		fault("consul", "write host and port; Consul's client takes name and password from CONSUL_HTTP_AUTH", "an address with credentials")
	}
	if l.Resolve < 100*time.Millisecond {
		fault("resolve", "write a duration such as 5s", "names are looked up every %s", l.Resolve)
	}
	faults = append(faults, parallax.Under("connections", l.Connections.validate())...)
	faults = append(faults, parallax.Under("health", l.Health.Validate())...)
	faults = append(faults, parallax.Under("eject", l.Eject.Validate())...)
	faults = append(faults, parallax.Under("breaker", l.Breaker.Validate())...)
	return append(faults, l.validateWeights()...)
}

func (l LegConfig) validateWeights() []parallax.Fault {
	var faults []parallax.Fault
	first := map[string]int{}
	for i, u := range l.URLs {
		at := fmt.Sprintf("urls[%d]", i)
		if n, twice := first[u.URL]; twice {
			faults = append(faults, parallax.Fault{Path: at, Text: fmt.Sprintf("this is the address of urls[%d] too", n), Hint: "keep one of them; with balance: weighted it may have a weight"})
			continue
		}
		first[u.URL] = i
		switch {
		case u.Weight < 0 || u.Weight > 1000:
			faults = append(faults, parallax.Fault{Path: at, Text: fmt.Sprintf("a weight of %d", u.Weight), Hint: "write a number from 1 to 1000"})
		case u.Weight > 0 && l.Balance != upstream.Weighted:
			faults = append(faults, parallax.Fault{Path: at, Text: "a weight counts with balance: weighted alone", Hint: "write balance: weighted, or leave the weight out"})
		}
	}
	return faults
}

// How the instances behind an address are found.
const (
	byName    = ""       // its A and AAAA records, unless it is an address already
	byService = "srv"    // SRV records
	byCatalog = "consul" // Consul
)

// parseAddress reads the address of a leg: how its instances are found, and a URL
// of scheme http or https. Its errors quote no more than the host: anything else
// may hold credentials.
func parseAddress(text string) (how string, u *url.URL, err error) {
	for _, prefix := range []string{byService, byCatalog} {
		if rest, ok := strings.CutPrefix(text, prefix+"+"); ok {
			how, text = prefix, rest
		}
	}
	if u, err = parseURL(text); err != nil {
		return "", nil, err
	}
	if how != "" && u.Port() != "" {
		return "", nil, fmt.Errorf("cannot use the address of %q: the instances that are found have ports of their own", u.Hostname())
	}
	return how, u, nil
}

// isLiteral reports whether a host needs no lookup, or none that would say
// anything new.
func isLiteral(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hashKey is what of a request decides which instance it goes to.
type hashKey struct {
	path bool
	user split.Key // a header, a cookie or the caller's address; zero for none
}

// newHashKey reads hash_by.
func newHashKey(text string) (hashKey, error) {
	switch text {
	case "":
		return hashKey{}, nil
	case "path":
		return hashKey{path: true}, nil
	}
	user, err := split.ParseKey(text)
	return hashKey{user: user}, err
}

// of returns the key of a request, 0 when it has none.
func (k hashKey) of(in *incoming) uint64 {
	switch {
	case k.path:
		path, _, _ := strings.Cut(in.Target, "?")
		return upstream.KeyOf(path)
	case k.user != (split.Key{}):
		return upstream.KeyOf(k.user.User(in.Headers, in.RemoteIP))
	}
	return 0
}
