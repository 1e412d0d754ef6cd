package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Address is one place where an instance was found.
type Address struct {
	Name     string // host and port as TLS and Host know it; "" for those of the leg's URL
	Addr     string // host and port to connect to; "" for that of the name
	Weight   int
	Priority int // lower ones are used first
}

// name is how an instance at the address is called.
func (a Address) name(target *url.URL) string {
	host := target.Host
	if a.Name != "" {
		host = a.Name
	}
	name := target.Scheme + "://" + host
	if a.Addr != "" && a.Addr != host {
		name += " " + a.Addr
	}
	return name
}

// Finder finds the instances of a leg.
type Finder interface {
	// Next returns the instances there are now. The first call returns at once,
	// a later one when it is time to look again, or when something has changed.
	// It is called from one goroutine, and ends when ctx does.
	Next(ctx context.Context) ([]Address, error)
}

// Resolver looks names up. [net.Resolver] does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Catalog knows the instances of services, as Consul does.
type Catalog interface {
	// Passing returns the healthy instances of a service as soon as something has
	// changed since the index, or at the latest after some minutes; with index 0
	// at once. The new index is for the next call. at is where the catalogue is, ""
	// for its default.
	Passing(ctx context.Context, at, service string, index uint64) (found []Address, next uint64, err error)
}

// Bounds of looking for instances.
const (
	lookupTimeout = 5 * time.Second
	retryFirst    = time.Second // after a failure, then twice as long each time
	retryMost     = 30 * time.Second
	catalogPause  = 200 * time.Millisecond // between two answers of a catalogue
)

// LookEvery is how often names are looked up, give or take a tenth, unless the
// leg says otherwise.
const LookEvery = 5 * time.Second

// polled is a finder that looks again and again.
type polled struct {
	every time.Duration
	asked bool
	look  func(context.Context) ([]Address, error)
}

// Next implements Finder.
func (p *polled) Next(ctx context.Context) ([]Address, error) {
	if p.asked && !sleep(ctx, jittered(p.every)) {
		return nil, ctx.Err()
	}
	p.asked = true
	ctx, end := context.WithTimeout(ctx, lookupTimeout)
	defer end()
	return p.look(ctx)
}

// Names finds the addresses of a name: every A and AAAA record is an instance.
// Where there are both and no way leads to the AAAA ones, those are left out.
func Names(r Resolver, host, port string, weight int, every time.Duration) Finder {
	return &polled{every: every, look: func(ctx context.Context) ([]Address, error) {
		return addresses(ctx, r, host, port, Address{Weight: weight})
	}}
}

// mostLookedUp is how many addresses of a name's SRV records are looked up before
// the rest is only counted.
const mostLookedUp = 4096

// Services finds the instances that a name's SRV records tell of, with their
// priorities and weights. TLS asks for the records' targets. A target that does
// not exist is left out. Of more records than a leg may have instances, those of
// the lowest priority are looked up, in order of their names.
func Services(r Resolver, name string, every time.Duration) Finder {
	return &polled{every: every, look: func(ctx context.Context) ([]Address, error) {
		_, records, err := r.LookupSRV(ctx, "", "", name)
		if err != nil {
			return nil, err
		}
		var out []Address
		for n, a := range inOrder(records) {
			if n >= MaxInstances || len(out) >= mostLookedUp {
				out = append(out, a) // it will be one too many
				continue
			}
			host, port, _ := net.SplitHostPort(a.Name)
			found, err := addresses(ctx, r, host, port, a)
			var dns *net.DNSError
			if errors.As(err, &dns) && dns.IsNotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
		return out, nil
	}}
}

// inOrder returns the addresses of SRV records, which come in a random order.
func inOrder(records []*net.SRV) []Address {
	out := make([]Address, len(records))
	for n, r := range records {
		name := net.JoinHostPort(trimDot(r.Target), strconv.Itoa(int(r.Port)))
		out[n] = Address{Name: name, Weight: int(r.Weight), Priority: int(r.Priority)}
	}
	slices.SortFunc(out, compareAddresses)
	return out
}

// compareAddresses is the order of addresses by which all Parallaxes leave out the
// same: first those that are used first.
func compareAddresses(a, b Address) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Weight, b.Weight))
}

func trimDot(name string) string {
	if n := len(name); n > 1 && name[n-1] == '.' {
		return name[:n-1]
	}
	return name
}

// addresses looks a name up and returns what is like, with each of its addresses.
func addresses(ctx context.Context, r Resolver, host, port string, like Address) ([]Address, error) {
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else if ips, err = r.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	ips = reachable(ips)
	out := make([]Address, 0, len(ips))
	for _, ip := range ips {
		like.Addr = net.JoinHostPort(ip.Unmap().String(), port)
		out = append(out, like)
	}
	return out, nil
}

// reachable leaves out addresses of IPv6 to which there is no route, if there are
// others. Nothing is sent for it.
func reachable(ips []netip.Addr) []netip.Addr {
	var four, six []netip.Addr
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			four = append(four, ip)
		} else {
			six = append(six, ip)
		}
	}
	if len(four) == 0 || len(six) == 0 {
		return ips
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(six[0], 9)))
	if err != nil {
		return four
	}
	conn.Close()
	return ips
}

// catalogued finds the instances of a service in a catalogue.
type catalogued struct {
	catalog     Catalog
	at, service string
	index       uint64
}

// Catalogued finds the instances of a service in a catalogue, and hears of
// changes at once. at is where the catalogue is, "" for its default.
func Catalogued(c Catalog, at, service string) Finder {
	return &catalogued{catalog: c, at: at, service: service}
}

// Next implements Finder.
func (c *catalogued) Next(ctx context.Context) ([]Address, error) {
	if c.index > 0 && !sleep(ctx, catalogPause) { // a catalogue that does not wait for changes is not asked all the time
		return nil, ctx.Err()
	}
	found, next, err := c.catalog.Passing(ctx, c.at, c.service, c.index)
	if err != nil {
		c.index = 0 // look anew
		return nil, err
	}
	if next < c.index {
		next = 0 // the catalogue has begun to count anew
	}
	c.index = next
	return found, nil
}

var errNobody = errors.New("there is none")

// watch keeps up with what is found for a target. asked is called after the first
// answer. A failure is logged once, and so is its end. Who answers that there is
// nobody is asked again soon: the wait grows with failures to answer alone.
func (s *Set) watch(n int, asked func()) {
	ctx, t := s.running, s.targets[n]
	defer asked()
	retry, failing := retryFirst, false
	for {
		found, err := t.Find.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && len(found) == 0 {
			err, retry = errNobody, retryFirst
		}
		if err == nil {
			if failing {
				s.log.Info("instances are found again", "url", t.URL.String())
			}
			s.update(n, found)
			asked()
			retry, failing = retryFirst, false
			continue
		}
		asked()
		if !failing {
			s.log.Warn("cannot find instances; those known are kept", "url", t.URL.String(), "error", fmt.Sprintf("%.200s", err))
		}
		failing = true
		if !sleep(ctx, jittered(retry)) {
			return
		}
		retry = min(2*retry, retryMost)
	}
}
