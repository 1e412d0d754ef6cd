package mirror

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Writes are counted in 32 bits, and a connection may see more.
func TestAConnectionSettlesOnce(t *testing.T) {
	t.Parallel()
	one, other := net.Pipe()
	defer one.Close()
	other.Close() // so that writes do not wait
	s := &settling{Conn: one, settled: make(chan struct{})}
	write := func() { _, _ = s.Write([]byte("x")) }
	write()
	select {
	case <-s.settled:
		t.Error("settled by the preface")
	default:
	}
	write()
	<-s.settled
	s.writes.Store(1) // as after 2^32 of them
	write()
}

// An instance that does not offer HTTP/2 says nothing about its siblings, which
// have the name in common.
func TestInstancesThatOfferHTTP2AreToldApart(t *testing.T) {
	t.Parallel()
	s := newSender(ProtocolAuto, nil, 0, Connections{}).(*legSender)
	defer s.Close()
	to := mustURL(t, "https://shop.example")
	s.learn(h2AddressOf(to, "192.0.2.1:443"))
	if s.speaksHTTP2(h2AddressOf(to, "192.0.2.1:443")) || !s.speaksHTTP2(h2AddressOf(to, "192.0.2.2:443")) {
		t.Error("what one instance offers is held for what another does")
	}
}

// Files that stay unusable are tried again and again, and told of once.
func TestUnusableTLSFilesAreToldOfOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cert.pem")
	write := func(when time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	write(time.Unix(1, 0))
	var log bytes.Buffer
	var fails error
	loads := 0
	load := func() (*tls.Config, error) { loads++; return &tls.Config{}, fails }
	c, err := newCredentials(load, slog.New(slog.NewTextHandler(&log, nil)), file)
	if err != nil {
		t.Fatal(err)
	}
	before := c.current()
	look := func() *tls.Config {
		c.next = time.Time{}
		return c.current()
	}
	write(time.Unix(2, 0))
	fails = errors.New("half a file")
	for range 3 {
		if look() != before {
			t.Error("the configuration changed")
		}
	}
	if n := strings.Count(log.String(), "half a file"); n != 1 || loads != 4 {
		t.Errorf("told %d times of %d failures", n, loads-1)
	}
	if fails = nil; look() == before {
		t.Error("files that are good again are not used")
	}
}
