package mirror

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"parallax"
	"parallax/internal/tlsfiles"
)

// ListenerTLS is how callers are served over TLS. Without a certificate they are
// served in the clear.
type ListenerTLS struct {
	Cert       string `yaml:"cert" doc:"file with the certificate and those of its issuers, PEM; empty: no TLS"`
	Key        string `yaml:"key" doc:"file with the certificate's private key, PEM"`
	ClientCA   string `yaml:"client_ca" doc:"file with the certificates that callers' certificates are issued by, PEM; empty: callers need none"`
	MinVersion string `yaml:"min_version" enum:"1.2,1.3" doc:"oldest version of TLS that is spoken; 1.2 when empty"`
}

// LegTLS is how a leg with https addresses is spoken to.
type LegTLS struct {
	CA         string `yaml:"ca" doc:"file with the certificates that the leg's is issued by, PEM; empty: those the system trusts"`
	Cert       string `yaml:"cert" doc:"file with the certificate that Parallax shows the leg, PEM; empty: none"`
	Key        string `yaml:"key" doc:"file with that certificate's private key, PEM"`
	ServerName string `yaml:"server_name" doc:"name that the leg's certificate is for; empty: the host of its address"`
	Insecure   bool   `yaml:"insecure" doc:"take whatever certificate the leg shows; whoever is on the way can read and change everything"`
}

// Versions of TLS by their names in min_version.
var tlsVersions = map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// Validate returns everything that is wrong with the block, its files included.
func (l ListenerTLS) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if _, ok := tlsVersions[l.MinVersion]; !ok {
		faults = append(faults, parallax.Fault{Path: "min_version", Text: fmt.Sprintf("unknown version %q", l.MinVersion), Hint: "write 1.2 or 1.3"})
	}
	if l.Cert == "" && l.Key == "" && (l.ClientCA != "" || l.MinVersion != "") {
		return append(faults, parallax.Fault{Path: "cert", Text: "there is no TLS without a certificate", Hint: "write cert and key, or leave tls out"})
	}
	faults = append(faults, tlsfiles.PairFaults(l.Cert, l.Key)...)
	return append(faults, tlsfiles.PoolFaults("client_ca", l.ClientCA)...)
}

// Validate returns everything that is wrong with the block, its files included.
func (l LegTLS) Validate() []parallax.Fault {
	faults := append(tlsfiles.PoolFaults("ca", l.CA), tlsfiles.PairFaults(l.Cert, l.Key)...)
	if l.Insecure && (l.CA != "" || l.ServerName != "") {
		faults = append(faults, parallax.Fault{
			Path: "insecure", Text: "ca and server_name mean nothing when any certificate is taken",
			Hint: "leave out insecure, or leave out the others",
		})
	}
	return faults
}

// Scheme returns the scheme of the addresses that callers use: http or https.
func (l ListenerTLS) Scheme() string {
	if l.given() {
		return "https"
	}
	return "http"
}

// Over returns a listener whose connections speak TLS with the files as they are at the moment, or
// the listener itself where there is no certificate. What it speaks within is HTTP/1.1.
func (l ListenerTLS) Over(inner net.Listener, log *slog.Logger) (net.Listener, error) {
	c, err := l.credentials(log)
	if err != nil || c == nil {
		return inner, err
	}
	return overTLS{inner, c}, nil
}

type overTLS struct {
	net.Listener
	credentials *credentials
}

// Accept implements net.Listener. The handshake is for who reads from the connection first.
func (l overTLS) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	config := l.credentials.current().Clone()
	config.NextProtos = []string{"http/1.1"}
	return tls.Server(conn, config), nil
}

// given reports whether callers are served over TLS.
func (l ListenerTLS) given() bool { return l.Cert != "" }

// load makes the configuration of a listener from the files as they are.
func (l ListenerTLS) load() (*tls.Config, error) {
	pair, _, err := tlsfiles.Pair(l.Cert, l.Key, time.Now())
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tlsVersions[l.MinVersion], NextProtos: []string{"h2", "http/1.1"}}
	if l.ClientCA != "" {
		if config.ClientCAs, err = tlsfiles.Pool(l.ClientCA); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// load makes the configuration of a leg from the files as they are.
func (l LegTLS) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.ServerName, InsecureSkipVerify: l.Insecure}
	if l.CA != "" {
		pool, err := tlsfiles.Pool(l.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if l.Cert != "" {
		pair, _, err := tlsfiles.Pair(l.Cert, l.Key, time.Now())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// digest tells contents of files apart.
type digest [sha256.Size]byte

// digest is that of the block's files as they are; of one that cannot be read, of
// why.
func (l LegTLS) digest() (d digest) {
	h := sha256.New()
	for _, file := range []string{l.CA, l.Cert, l.Key} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		fmt.Fprintf(h, "%s %d %v\n%s\n", file, len(text), err, text)
	}
	h.Sum(d[:0])
	return d
}

// lookAgain is how long a handshake trusts that the files have not changed.
const lookAgain = time.Second

// credentials are a TLS configuration whose files are read again when they
// change, so that a renewed certificate counts for the next connection and hurts
// no open one. Files that cannot be used leave the last configuration in place.
type credentials struct {
	load  func() (*tls.Config, error)
	files []string
	log   *slog.Logger

	mu     sync.Mutex // for all below
	config *tls.Config
	seen   []time.Time // when each file was changed
	next   time.Time   // when to look again
	told   string      // why changed files could not be used, as it was logged
}

// credentials returns what callers are served with; nil for no TLS.
func (l ListenerTLS) credentials(log *slog.Logger) (*credentials, error) {
	if !l.given() {
		return nil, nil
	}
	return newCredentials(l.load, log, l.Cert, l.Key, l.ClientCA)
}

// credentials returns what a leg is spoken to with.
func (l LegTLS) credentials(log *slog.Logger) (*credentials, error) {
	return newCredentials(l.load, log, l.CA, l.Cert, l.Key)
}

// newCredentials reads the files for the first time.
func newCredentials(load func() (*tls.Config, error), log *slog.Logger, files ...string) (*credentials, error) {
	c := &credentials{load: load, log: log, files: slices.DeleteFunc(files, func(f string) bool { return f == "" })}
	c.seen, c.next = c.stamps(), time.Now().Add(lookAgain)
	var err error
	if c.config, err = load(); err != nil {
		return nil, err
	}
	return c, nil
}

// current returns the configuration of now. It is not changed by anybody.
func (c *credentials) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.next) {
		return c.config
	}
	c.next = now.Add(lookAgain)
	seen := c.stamps()
	if slices.EqualFunc(seen, c.seen, time.Time.Equal) {
		return c.config
	}
	config, err := c.load()
	if err != nil {
		if text := err.Error(); text != c.told {
			c.log.Warn("the TLS files changed and cannot be used; the old ones stay in use", "error", err)
			c.told = text
		}
		return c.config
	}
	c.log.Info("the TLS files were read again", "files", c.files)
	c.config, c.seen, c.told = config, seen, ""
	return c.config
}

// stamps returns when each file was changed, the zero time for one that is not
// there.
func (c *credentials) stamps() []time.Time {
	out := make([]time.Time, len(c.files))
	for i, f := range c.files {
		if info, err := os.Stat(f); err == nil {
			out[i] = info.ModTime()
		}
	}
	return out
}

// secured is a listener whose connections speak TLS as the configuration of the
// moment has it, or not.
type secured struct {
	net.Listener
	m *Mirror
}

// Accept implements net.Listener. The handshake is for who reads from the
// connection first.
func (l secured) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c := l.m.current.Load().tls; c != nil {
		return tls.Server(conn, c.current()), nil
	}
	return conn, nil
}
