package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax"
)

// Config is the block egress of a service. Without an address there is no proxy.
type Config struct {
	Listen   string        `yaml:"listen" doc:"address of the proxy for the calls that the legs make, such as 127.0.0.1:7080; a leg names itself as the user: HTTP_PROXY=http://candidate@127.0.0.1:7080; empty: none"`
	From     []string      `yaml:"from" doc:"who may use the proxy, as addresses or networks such as 10.1.0.0/16; only this machine if empty"`
	Allow    []Allow       `yaml:"allow" doc:"where the calls of a shadow may go, such as stock.example, *.internal:8080, or {host: api.mail.example, methods: [POST], as: mails}; of several that fit the first counts"`
	Live     Live          `yaml:"live" enum:"open,allow" doc:"where the calls of the live leg may go: open, anywhere but this machine and link-local addresses; allow, only where allow says"`
	Connect  []int         `yaml:"connect" doc:"ports that the live leg may open tunnels to (CONNECT) besides those in allow"`
	Answer   Answer        `yaml:"answer" enum:"refuse,recorded" doc:"what a shadow gets for a call that is not allowed: 403, or what the live leg was answered to the same call for the same exchange"`
	Wait     time.Duration `yaml:"wait" doc:"with answer: recorded, how long the live leg's answer is waited for; then 504; at most 30s"`
	Timeout  time.Duration `yaml:"timeout" doc:"how long the head of an answer may take; from 1s to 1h"`
	MaxBody  parallax.Size `yaml:"max_body" doc:"bound of what is kept of a body; a longer one is compared by its hash, and a longer answer is not given to a shadow"`
	InFlight int           `yaml:"in_flight" doc:"how many calls and tunnels of shadows there may be at a time; a further one is answered 503"`
}

// Live says where the calls of the live leg may go.
type Live string

// The values of egress.live.
const (
	LiveOpen    Live = "open"
	LiveAllowed Live = "allow"
)

// Answer says what a shadow gets for a call that is not allowed.
type Answer string

// The values of egress.answer.
const (
	AnswerRefuse   Answer = "refuse"
	AnswerRecorded Answer = "recorded"
)

// Allow is a place that calls may go to.
type Allow struct {
	Host     string   `yaml:"host"`                // host or host:port; *.example stands for all names below, * for any
	Methods  []string `yaml:"methods,omitempty"`   // empty: all, and tunnels
	As       string   `yaml:"as,omitempty"`        // what its calls are called as effects; http:HOST if empty
	TLS      bool     `yaml:"tls,omitempty"`       // the proxy speaks TLS where it was asked for http
	Local    bool     `yaml:"local,omitempty"`     // the name may resolve to this machine or to a link-local address
	LiveOnly bool     `yaml:"live_only,omitempty"` // only the live leg's calls may go there
}

var errAllow = errors.New("want a host such as mail.example or *.example:8080, or a mapping such as {host: mail.example, methods: [POST], as: mails, tls: true, local: true, live_only: true}")

// UnmarshalYAML reads a host, or a mapping.
func (a *Allow) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		a.Host = n.Value
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errAllow
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		into := map[string]any{"host": &a.Host, "methods": &a.Methods, "as": &a.As, "tls": &a.TLS, "local": &a.Local, "live_only": &a.LiveOnly}[n.Content[i].Value]
		if into == nil || n.Content[i+1].Decode(into) != nil {
			return errAllow
		}
	}
	return nil
}

// DefaultConfig is where every configuration starts from.
func DefaultConfig() Config {
	return Config{
		Live: LiveOpen, Connect: []int{443}, Answer: AnswerRefuse,
		Wait: 2 * time.Second, Timeout: time.Minute, MaxBody: 256 << 10, InFlight: 256,
	}
}

// Bounds of what may be configured.
const (
	maxAllow    = 1000
	maxKept     = 16 << 20
	maxInFlight = 10_000
	maxWait     = 30 * time.Second
	maxTimeout  = time.Hour
)

// Configured reports whether there is a proxy.
func (c Config) Configured() bool { return c.Listen != "" }

// Names returns what calls are named as effects, besides those that begin with http:; nil
// if there is no proxy.
func (c Config) Names() []string {
	if !c.Configured() {
		return nil
	}
	names := []string{}
	for _, a := range c.Allow {
		if a.As != "" && !slices.Contains(names, a.As) {
			names = append(names, a.As)
		}
	}
	slices.Sort(names)
	return names
}

// Validate returns everything that is wrong with c, with paths as seen from it.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if c.Listen == "" && (len(c.Allow) > 0 || len(c.From) > 0) {
		add("listen", "is empty, so there is no proxy to allow anything", "write an address such as 127.0.0.1:7080, or leave the whole block out")
	}
	if _, port, err := net.SplitHostPort(c.Listen); c.Listen != "" && (err != nil || port == "") {
		add("listen", fmt.Sprintf("%q is not an address", c.Listen), "write it like 127.0.0.1:7080")
	}
	for i, text := range c.From {
		if _, err := parseNetwork(text); err != nil {
			add(fmt.Sprintf("from[%d]", i), fmt.Sprintf("%q is neither an address nor a network", text), "write it like 10.1.2.3 or 10.1.0.0/16")
		}
	}
	if c.Live != LiveOpen && c.Live != LiveAllowed {
		add("live", fmt.Sprintf("unknown value %q", c.Live), "write open or allow")
	}
	if c.Answer != AnswerRefuse && c.Answer != AnswerRecorded {
		add("answer", fmt.Sprintf("unknown value %q", c.Answer), "write refuse or recorded")
	}
	for i, port := range c.Connect {
		if port < 1 || port > 65535 {
			add(fmt.Sprintf("connect[%d]", i), fmt.Sprintf("%d is not a port", port), "write a number from 1 to 65535")
		}
	}
	for _, d := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{{"wait", c.Wait, 0, maxWait}, {"timeout", c.Timeout, time.Second, maxTimeout}} {
		if d.value < d.least || d.value > d.most {
			add(d.key, fmt.Sprintf("a time of %s", d.value), fmt.Sprintf("write a duration from %s to %s", d.least, d.most))
		}
	}
	if c.MaxBody < 1 || c.MaxBody > maxKept {
		add("max_body", fmt.Sprintf("a bound of %s", c.MaxBody), "write a size from 1B to 16MiB")
	}
	if c.InFlight < 1 || c.InFlight > maxInFlight {
		add("in_flight", fmt.Sprintf("%d calls", c.InFlight), fmt.Sprintf("write a number from 1 to %d", maxInFlight))
	}
	return append(faults, c.validateAllow()...)
}

func (c Config) validateAllow() []parallax.Fault {
	if len(c.Allow) > maxAllow {
		return []parallax.Fault{{Path: "allow", Text: fmt.Sprintf("has %d entries", len(c.Allow)), Hint: fmt.Sprintf("at most %d; *.example stands for all names below example", maxAllow)}}
	}
	var faults []parallax.Fault
	for i, a := range c.Allow {
		at := fmt.Sprintf("allow[%d]", i)
		if _, err := parsePattern(a.Host); err != nil {
			faults = append(faults, parallax.Fault{Path: at, Text: err.Error(), Hint: "write it like mail.example, *.example, mail.example:8025, 10.1.2.3 or *"})
		}
		for _, m := range a.Methods {
			if !isMethod(m) {
				faults = append(faults, parallax.Fault{Path: at + ".methods", Text: fmt.Sprintf("%q is not a method", m), Hint: "write it in capitals, such as POST; CONNECT stands for tunnels"})
			}
		}
		if len(a.As) > 100 || strings.ContainsFunc(a.As, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			faults = append(faults, parallax.Fault{Path: at + ".as", Text: fmt.Sprintf("%.120q cannot be a name", a.As), Hint: "write up to 100 characters without spaces, such as mails"})
		}
		if a.TLS && len(a.Methods) > 0 && slices.Contains(a.Methods, "CONNECT") {
			faults = append(faults, parallax.Fault{Path: at + ".tls", Text: "a tunnel has TLS of its own", Hint: "take CONNECT out of methods, so that the service calls http and its calls can be compared"})
		}
	}
	return faults
}

func isMethod(text string) bool {
	return text != "" && len(text) <= 32 && !strings.ContainsFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' })
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}
