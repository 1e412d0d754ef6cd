package egress

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// target is where a call is to go.
type target struct {
	host string // in lower case, without a dot at its end; an address in its usual form
	port uint16
}

// String returns host:port.
func (t target) String() string {
	if strings.Contains(t.host, ":") {
		return fmt.Sprintf("[%s]:%d", t.host, t.port)
	}
	return t.host + ":" + strconv.Itoa(int(t.port))
}

// table is what calls to the target are called as effects.
func (t target) table() string {
	if t.port == 80 || t.port == 443 {
		return "http:" + t.host
	}
	return "http:" + t.String()
}

// parseHost returns a host as it is compared; false if nobody may be called so.
func parseHost(text string) (string, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().String(), a.Zone() == ""
	}
	text = strings.TrimSuffix(strings.ToLower(text), ".")
	if text == "" || len(text) > 253 {
		return "", false
	}
	odd := strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
	return text, !odd
}

// parseTarget returns where a request to the proxy is to go.
func parseTarget(r *http.Request) (target, error) {
	if r.URL.Host == "" || r.Method != http.MethodConnect && !r.URL.IsAbs() {
		return target{}, fmt.Errorf("this is a forward proxy: it takes absolute addresses and CONNECT")
	}
	host, ok := parseHost(r.URL.Hostname())
	if !ok {
		return target{}, fmt.Errorf("the host is not a name or an address")
	}
	t := target{host: host}
	switch port := r.URL.Port(); {
	case port != "":
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return target{}, fmt.Errorf("the port is not a number from 1 to 65535")
		}
		t.port = uint16(n)
	case r.Method == http.MethodConnect:
		return target{}, fmt.Errorf("CONNECT needs a port")
	case r.URL.Scheme == "https":
		t.port = 443
	default:
		t.port = 80
	}
	if r.Method != http.MethodConnect && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return target{}, fmt.Errorf("only http and https are spoken")
	}
	return t, nil
}

// pattern is which hosts and ports an entry of allow means.
type pattern struct {
	host    string // of a wildcard what stands behind the star
	under   bool   // all names that end in host
	literal bool   // an address, or localhost
	port    uint16 // 0: the usual ones
}

func parsePattern(text string) (pattern, error) {
	wrong := fmt.Errorf("%.120q is not a host", text)
	var p pattern
	host := text
	if h, port, ok := cutPort(text); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return p, fmt.Errorf("%.120q has no port from 1 to 65535", text)
		}
		host, p.port = h, uint16(n)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "*" {
		p.under = true
		return p, nil
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		p.under = true
		name, ok := parseHost(rest)
		if _, err := netip.ParseAddr(rest); !ok || err == nil {
			return p, wrong
		}
		p.host = "." + name
		return p, nil
	}
	var ok bool
	if p.host, ok = parseHost(host); !ok {
		return p, wrong
	}
	_, err := netip.ParseAddr(p.host)
	p.literal = err == nil || p.host == "localhost"
	return p, nil
}

// cutPort cuts a port off; a bare IPv6 address has none.
func cutPort(text string) (host, port string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "[") || strings.HasSuffix(text, "]") {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// fits reports whether a target is meant. Of an entry without a port 80 and 443 are,
// of which a tunnel may go to 443 only.
func (p pattern) fits(t target, tunnel bool) bool {
	switch {
	case p.port != 0 && p.port != t.port,
		p.port == 0 && t.port != 443 && (t.port != 80 || tunnel):
		return false
	case p.under:
		return strings.HasSuffix(t.host, p.host)
	}
	return t.host == p.host
}

// rule is an entry of allow.
type rule struct {
	Allow
	pattern
}

// policy is what a configuration means. It does not change.
type policy struct {
	cfg   Config
	rules []rule
	from  []netip.Prefix
}

// newPolicy compiles a valid configuration.
func newPolicy(cfg Config) *policy {
	p := &policy{cfg: cfg}
	for _, a := range cfg.Allow {
		if at, err := parsePattern(a.Host); err == nil {
			p.rules = append(p.rules, rule{a, at})
		}
	}
	for _, text := range cfg.From {
		if n, err := parseNetwork(text); err == nil {
			p.from = append(p.from, n)
		}
	}
	return p
}

// welcome reports whether an address may use the proxy.
func (p *policy) welcome(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if len(p.from) == 0 {
		return a.IsLoopback()
	}
	return slices.ContainsFunc(p.from, func(n netip.Prefix) bool { return n.Contains(a) })
}

// rule returns the entry that a call goes by, nil if there is none.
func (p *policy) rule(method string, t target) *rule {
	for i := range p.rules {
		r := &p.rules[i]
		if r.fits(t, method == http.MethodConnect) && (len(r.Methods) == 0 || slices.Contains(r.Methods, method)) {
			return r
		}
	}
	return nil
}

// allows reports whether a call may go on; if not, why, as the end of a sentence.
func (p *policy) allows(shadow bool, method string, t target) (why string, ok bool) {
	r := p.rule(method, t)
	switch {
	case shadow && r == nil:
		return "egress.allow does not list it for a shadow", false
	case shadow && r.LiveOnly:
		return "egress.allow lists it for the live leg only", false
	case shadow || r != nil:
		return "", true
	case p.cfg.Live == LiveAllowed:
		return "egress.allow does not list it, and egress.live is allow", false
	case method == http.MethodConnect && !slices.Contains(p.cfg.Connect, int(t.port)):
		return "its port is not in egress.connect, nor in egress.allow", false
	}
	return "", true
}

// answered reports whether a shadow gets an answer to a call, so that its status can be
// compared with the live leg's.
func (p *policy) answered(method string, t target) bool {
	_, ok := p.allows(true, method, t)
	return ok || p.cfg.Answer == AnswerRecorded && method != http.MethodConnect
}

// local reports whether a target may be this machine or a link-local address.
func (p *policy) local(t target) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return (r.Local || r.literal) && r.fits(t, false) })
}

// table is what calls to a target are called as effects.
func (p *policy) table(method string, t target) string {
	if r := p.rule(method, t); r != nil && r.As != "" {
		return r.As
	}
	for _, r := range p.rules {
		if r.As != "" && r.fits(t, false) {
			return r.As
		}
	}
	return t.table()
}
