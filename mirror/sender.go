package mirror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"sync"
	"time"

	"parallax"
)

// Protocol says what is spoken to a leg. The zero value means auto.
type Protocol string

// The values of a leg's protocol.
const (
	ProtocolAuto  Protocol = "auto"  // HTTP/2 where an https address offers it, else HTTP/1.1
	ProtocolHTTP1 Protocol = "http1" // HTTP/1.1
	ProtocolHTTP2 Protocol = "http2" // HTTP/2; with an http address in the clear, by prior knowledge
)

func (p Protocol) validate() []parallax.Fault {
	switch p {
	case "", ProtocolAuto, ProtocolHTTP1, ProtocolHTTP2:
		return nil
	}
	return []parallax.Fault{{Path: "protocol", Text: fmt.Sprintf("unknown protocol %q", p), Hint: "write auto, http1 or http2"}}
}

// Failures of choosing a protocol.
var (
	errNeedsHTTP2 = errors.New("gRPC needs HTTP/2, and this leg is spoken to by HTTP/1.1: write protocol: http2")
	errNoUpgrade  = errors.New("the caller wants to change the protocol, which HTTP/2 cannot: write protocol: http1, or auto")
)

// legSender speaks to a leg what its configuration says, or what an instance
// offers.
type legSender struct {
	protocol    Protocol
	credentials *credentials
	h1          *httpSender
	h2          *h2Sender

	mu    sync.Mutex
	plain map[h2Address]time.Time // https instances that do not offer HTTP/2, and when to ask them again
}

// askProtocolAgain is for how long an instance that does not offer HTTP/2 is not
// asked for it again.
const askProtocolAgain = 5 * time.Minute

var _ sender = (*legSender)(nil)

// newSender returns a sender with connections of its own. headTimeout bounds the
// wait for an answer's head, zero means no bound; connections are those of
// HTTP/1.1.
func newSender(p Protocol, c *credentials, headTimeout time.Duration, connections Connections) sender {
	s := &legSender{protocol: p, credentials: c, plain: map[h2Address]time.Time{}}
	s.h1 = newHTTPSender(headTimeout, connections)
	s.h1.pool.DialTLS = s.dialHTTP1
	s.h2 = newH2Sender(headTimeout, s.secureHTTP2)
	return s
}

// Close implements sender.
func (s *legSender) Close() {
	s.h1.Close()
	s.h2.Close()
}

// Forget implements sender.
func (s *legSender) Forget(to *url.URL, addr string) {
	s.h1.Forget(to, addr)
	s.h2.Forget(to, addr)
}

// Send implements sender.
func (s *legSender) Send(ctx context.Context, to *url.URL, out *outgoing) (*answer, error) {
	at := h2AddressOf(to, out.Addr)
	switch http2 := s.speaksHTTP2(at); {
	case !http2 && ofGRPC(out.Headers):
		return nil, out.refuse(errNeedsHTTP2)
	case s.protocol == ProtocolHTTP2 && out.Upgrade != "":
		return nil, out.refuse(errNoUpgrade)
	case !http2 || out.Upgrade != "":
		return s.h1.Send(ctx, to, out)
	}
	a, err := s.h2.Send(ctx, to, out)
	if errors.Is(err, errOnlyHTTP1) {
		s.learn(at)
		if ofGRPC(out.Headers) {
			return nil, out.refuse(errNeedsHTTP2)
		}
		return s.h1.Send(ctx, to, out)
	}
	return a, err
}

// refuse ends a request that is not sent.
func (out *outgoing) refuse(err error) *sendError {
	if out.Body != nil {
		out.Body.Close()
	}
	return &sendError{kind: parallax.NotAsked, err: err}
}

// speaksHTTP2 reports whether HTTP/2 is tried with an instance.
func (s *legSender) speaksHTTP2(at h2Address) bool {
	switch {
	case s.protocol == ProtocolHTTP2:
		return true
	case s.protocol == ProtocolHTTP1 || at.scheme != "https":
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().After(s.plain[at])
}

// learn notes that an instance speaks HTTP/1.1 only.
func (s *legSender) learn(at h2Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.plain, func(_ h2Address, until time.Time) bool { return now.After(until) })
	s.plain[at] = now.Add(askProtocolAgain)
}

// errOnlyHTTP1 is what dialling for HTTP/2 gives where HTTP/1.1 will do.
var errOnlyHTTP1 = errors.New("the leg does not offer HTTP/2")

// dialHTTP1 opens a TLS connection for HTTP/1.1.
func (s *legSender) dialHTTP1(ctx context.Context, network, address, name string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return s.secure(ctx, conn, name, "http/1.1")
}

// secureHTTP2 agrees on TLS, and on HTTP/2.
func (s *legSender) secureHTTP2(ctx context.Context, conn net.Conn, name string) (net.Conn, error) {
	if s.protocol == ProtocolHTTP2 {
		return s.secure(ctx, conn, name, "h2")
	}
	secured, err := s.secure(ctx, conn, name, "h2", "http/1.1")
	if err == nil && secured.ConnectionState().NegotiatedProtocol != "h2" {
		secured.Close()
		return nil, errOnlyHTTP1
	}
	return secured, err
}

// secure agrees on TLS, and on one of the protocols.
func (s *legSender) secure(ctx context.Context, conn net.Conn, name string, protocols ...string) (*tls.Conn, error) {
	config := s.credentials.current().Clone()
	config.NextProtos = protocols
	if config.ServerName == "" {
		config.ServerName = name
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot agree on TLS: %w", err)
	}
	return secured, nil
}
