package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Why a connection is not opened.
var (
	errProtected = errors.New("the address is of this machine, link-local or reserved")
	errLoop      = errors.New("the address is the proxy's own")
)

const (
	dialWithin   = 10 * time.Second // all addresses of a name, resolving included
	maxAddresses = 8                // of a name that are tried
)

// reserved are networks that nobody calls by intent, besides those that netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this host
	netip.MustParsePrefix("100.100.100.200/32"), // metadata
	netip.MustParsePrefix("192.0.0.0/24"),       // protocol assignments, metadata among them
	netip.MustParsePrefix("240.0.0.0/4"),        // reserved, broadcast
	netip.MustParsePrefix("168.63.129.16/32"),   // metadata
	netip.MustParsePrefix("fd00:ec2::/32"),      // metadata
	netip.MustParsePrefix("fec0::/10"),          // site-local
}

// Networks of IPv6 whose addresses stand for one of IPv4, and where in them it stands.
var embedding = []struct {
	netip.Prefix
	at int
}{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// protected reports whether an address is one that is only called if it is allowed by
// name.
func protected(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return true
	}
	for _, n := range reserved {
		if n.Contains(a) {
			return true
		}
	}
	for _, n := range embedding {
		if n.Contains(a) {
			b := a.As16()
			return protected(netip.AddrFrom4([4]byte(b[n.at : n.at+4])))
		}
	}
	return false
}

// dial opens a connection to host:port. What is checked are the addresses that the name
// has now, and one of these is dialled: what it resolves to later is no matter.
func (p *Proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addresses, err := p.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	local := p.policy.Load().local(target{host, uint16(n)})
	err = fmt.Errorf("cannot find an address of %s", host)
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		to := netip.AddrPortFrom(a.Unmap(), uint16(n))
		if p.isOwn(to) {
			err = errLoop
			continue
		}
		if !local && protected(a) {
			err = errProtected
			continue
		}
		var conn net.Conn
		if conn, err = p.dialer.DialContext(ctx, network, to.String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (p *Proxy) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return p.deps.Lookup(ctx, host)
}

// isOwn reports whether an address is one that the proxy listens on.
func (p *Proxy) isOwn(to netip.AddrPort) bool {
	p.mu.Lock()
	l := p.listener
	p.mu.Unlock()
	if l == nil {
		return false
	}
	own, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil || own.Port() != to.Port() {
		return false
	}
	if !own.Addr().IsUnspecified() {
		return own.Addr().Unmap() == to.Addr()
	}
	return to.Addr().IsUnspecified() || to.Addr().IsLoopback() || onInterface(to.Addr())
}

// onInterface reports whether an address is one of this machine's.
func onInterface(a netip.Addr) bool {
	list, _ := net.InterfaceAddrs() // none known: none of ours
	for _, i := range list {
		if n, ok := i.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == a {
				return true
			}
		}
	}
	return false
}
