package mirror_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/net/http2"

	"parallax"
	"parallax/mirror"
)

// authority issues certificates for tests.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // its certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, &a.key.PublicKey)
	a.File = a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(c *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = c
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

func (a *authority) write(name, kind string, raw []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue writes a certificate for a name and 127.0.0.1, valid until a time, and
// returns its files.
func (a *authority) issue(name string, until time.Time) (cert, key string) {
	a.t.Helper()
	k := newKey(a.t)
	c := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &k.PublicKey)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", c.Raw), a.write(name+".key", "PRIVATE KEY", raw)
}

// pair returns a certificate as a server or client uses it.
func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.issue(name, time.Now().Add(time.Hour)))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// server starts a server of net/http with TLS that speaks the protocols given.
func (a *authority) server(handler http.HandlerFunc, change func(*tls.Config), protocols ...string) string {
	a.t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = quiet
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.pair("leg.example")}, NextProtos: protocols}
	s.EnableHTTP2 = protocols[0] == "h2"
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.URL
}

// client returns a client that trusts the authority and speaks HTTP/2 or not.
func (a *authority) client(http2 bool, shows ...tls.Certificate) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: http2, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: a.pool(), Certificates: shows},
	}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else a caller may get its answer first, and not finish
		io.WriteString(w, text+" "+r.Proto)
	}
}

func TestCallersSpeakWhatIsAgreed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cfg := pair(speaker(t, say("hello")), speaker(t, say("hello")), mirror.Own)
	cfg.TLS.Cert, cfg.TLS.Key = a.issue("shop.example", time.Now().Add(time.Hour))
	r := start(t, cfg)
	url := "https://" + r.Addr
	for http2, want := range map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"} {
		res, err := a.client(http2).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.Proto != want || string(body) != "hello HTTP/1.1" || res.TLS.PeerCertificates[0].Subject.CommonName != "shop.example" {
			t.Errorf("by %s: %q from %v", res.Proto, body, res.TLS.PeerCertificates[0].Subject)
		}
		x := r.next()
		if got := headerOf(x.Legs[0].Request.Headers, "X-Forwarded-Proto"); got != "https" {
			t.Errorf("X-Forwarded-Proto: %q", got)
		}
	}
	for flag, want := range map[string]string{"--http2": "2 200", "--http1.1": "1.1 200"} {
		if got := curl(t, 0, flag, "--cacert", a.File, "--output", os.DevNull, "--write-out", "%{http_version} %{response_code}", url); got != want {
			t.Errorf("curl %s: %q, want %q", flag, got, want)
		}
	}
	for _, agreed := range [][]string{nil, {"http/1.1"}} { // HTTP/2 that was not agreed on
		conn, err := tls.Dial("tcp", r.Addr, &tls.Config{RootCAs: a.pool(), ServerName: "shop.example", NextProtos: agreed})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, http2.ClientPreface)
		if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 505 ") {
			t.Errorf("%q: answered %.20q", agreed, got)
		}
		conn.Close()
	}
	if _, err := http.Get("http://" + r.Addr); err == nil {
		t.Error("a caller without TLS was answered")
	}
}

// TestAnotherListenerSpeaksTLS as that of callers does, with files that are read again, and HTTP/1.1 within.
func TestAnotherListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var block mirror.ListenerTLS
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if same, err := block.Over(inner, slog.New(slog.DiscardHandler)); err != nil || same != inner {
		t.Errorf("without a certificate: %v, %v", same, err)
	}
	block.Cert, block.Key = a.issue("admin.example", time.Now().Add(time.Hour))
	block.ClientCA = a.File
	l, err := block.Over(inner, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: say("hello"), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	res, err := a.client(true, a.pair("ci")).Get("https://" + inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "hello HTTP/1.1" || res.TLS.PeerCertificates[0].Subject.CommonName != "admin.example" {
		t.Errorf("%q from %v", body, res.TLS.PeerCertificates[0].Subject)
	}
	if _, err := a.client(false).Get("https://" + inner.Addr().String()); err == nil {
		t.Error("a caller without a certificate was answered")
	}
}

func headerOf(fields []parallax.Field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

func TestCallersShowACertificateIfAsked(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	backend := speaker(t, say("hello"))
	cfg := pair(backend, backend, mirror.Own)
	cfg.TLS.Cert, cfg.TLS.Key = a.issue("shop.example", time.Now().Add(time.Hour))
	cfg.TLS.ClientCA = a.File
	r := start(t, cfg)
	if res, err := a.client(true).Get("https://" + r.Addr); err == nil {
		t.Errorf("a caller without a certificate was answered %s", res.Status)
		res.Body.Close()
	}
	if r.Ledger.Received() != 0 {
		t.Error("it counts as received")
	}
	res, err := a.client(true, a.pair("caller.example")).Get("https://" + r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	r.settled(1)
}

func TestLegsAreSpokenToByTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	demands := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, a.pool() }
	both := a.server(say("leg"), nil, "h2", "http/1.1")
	old := a.server(say("leg"), nil, "http/1.1")
	strict := a.server(say("leg"), demands, "h2", "http/1.1")
	strictOld := a.server(say("leg"), demands, "http/1.1")
	cert, key := a.issue("parallax.example", time.Now().Add(time.Hour))
	f := func(name, url string, protocol mirror.Protocol, with mirror.LegTLS, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := pair(url, url, mirror.Own)
			cfg.Primary.Protocol, cfg.Candidate.Protocol = protocol, protocol
			cfg.Primary.TLS, cfg.Candidate.TLS = with, with
			r := start(t, cfg)
			for range 3 {
				res, body := r.do("GET", "/", "")
				if res.StatusCode == 502 {
					body = "502"
				}
				if body != want {
					t.Errorf("the caller got %d %q, want %q", res.StatusCode, body, want)
				}
				x := r.next()
				if want == "502" {
					if got := x.Legs[0].Err.Kind; got != parallax.Refused {
						t.Errorf("the call ended with %v: %s", got, x.Legs[0].Err.Text)
					}
					continue
				}
				if got := x.Legs[parallax.Candidate]; got.Request.Proto != strings.TrimPrefix(want, "leg ") || string(got.Response.Body.Bytes) != want {
					t.Errorf("the candidate was asked by %s: %q %v", got.Request.Proto, got.Response.Body.Bytes, got.Err)
				}
			}
		})
	}
	trusts := mirror.LegTLS{CA: a.File}
	shows := mirror.LegTLS{CA: a.File, Cert: cert, Key: key}
	f("auto, offered", both, "", trusts, "leg HTTP/2.0")
	f("auto, not offered", old, mirror.ProtocolAuto, trusts, "leg HTTP/1.1")
	f("http1", both, mirror.ProtocolHTTP1, trusts, "leg HTTP/1.1")
	f("http2", both, mirror.ProtocolHTTP2, trusts, "leg HTTP/2.0")
	f("http2, not offered", old, mirror.ProtocolHTTP2, trusts, "502")
	f("not trusted", both, "", mirror.LegTLS{}, "502")
	f("insecure", both, "", mirror.LegTLS{Insecure: true}, "leg HTTP/2.0")
	f("server_name", both, "", mirror.LegTLS{CA: a.File, ServerName: "leg.example"}, "leg HTTP/2.0")
	f("wrong server_name", both, "", mirror.LegTLS{CA: a.File, ServerName: "other.example"}, "502")
	f("certificate shown", strict, "", shows, "leg HTTP/2.0")
	f("certificate shown by HTTP/1.1", strictOld, "", shows, "leg HTTP/1.1")
}

func TestTLSFaultsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.issue("good.example", time.Now().Add(time.Hour))
	_, otherKey := a.issue("other.example", time.Now().Add(time.Hour))
	expired, expiredKey := a.issue("expired.example", time.Now().Add(-time.Minute))
	f := func(listener mirror.ListenerTLS, leg mirror.LegTLS, want ...string) {
		t.Helper()
		cfg := pair("https://127.0.0.1:1", "", mirror.Own)
		cfg.Candidate = mirror.LegConfig{}
		cfg.TLS, cfg.Primary.TLS = listener, leg
		var got []string
		for _, fault := range cfg.Validate() {
			text := strings.ReplaceAll(fault.Text, a.dir+string(filepath.Separator), "")
			got = append(got, fault.Path+": "+strings.ReplaceAll(text, "\n", " "))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("faults (-want +got):\n%s", diff)
		}
	}
	listen := func(cert, key string) mirror.ListenerTLS { return mirror.ListenerTLS{Cert: cert, Key: key} }
	none := mirror.LegTLS{}
	f(listen(cert, key), mirror.LegTLS{CA: a.File, Cert: cert, Key: key})
	f(listen(cert, ""), none, "tls.key: there is a certificate and no key")
	f(listen("", key), none, "tls.cert: there is a key and no certificate")
	f(listen(filepath.Join(a.dir, "none"), key), none, "tls.cert: cannot read the certificate: open none: no such file or directory")
	f(listen(cert, otherKey), none, "tls.key: the key in other.example.key does not fit the certificate in good.example.pem: tls: private key does not match public key")
	f(listen(key, key), none, "tls.cert: there is no certificate in good.example.key: it is not PEM")
	f(mirror.ListenerTLS{ClientCA: a.File}, none, "tls.cert: there is no TLS without a certificate")
	f(mirror.ListenerTLS{Cert: cert, Key: key, MinVersion: "1.1"}, none, `tls.min_version: unknown version "1.1"`)
	f(mirror.ListenerTLS{Cert: cert, Key: key, ClientCA: key}, none, "tls.client_ca: there is no certificate in good.example.key: it is not PEM")
	f(mirror.ListenerTLS{}, mirror.LegTLS{Insecure: true, CA: a.File}, "primary.tls.insecure: ca and server_name mean nothing when any certificate is taken")
	_, leaf := expired, expiredKey
	for _, fault := range (mirror.ListenerTLS{Cert: expired, Key: leaf}).Validate() {
		if fault.Path != "cert" || !strings.Contains(fault.Text, "expired.example.pem has expired at 20") {
			t.Errorf("an expired certificate: %s: %s", fault.Path, fault.Text)
		}
	}
	if len((mirror.ListenerTLS{Cert: expired, Key: leaf}).Validate()) != 1 {
		t.Error("an expired certificate is no fault")
	}
}

// A reload opens new connections to a leg that stays the same but for what is in its
// TLS files: to one over HTTP/2 the old connection would go on for ever.
func TestReloadReadsTheTLSFilesOfLegs(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	backend := a.server(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %v", r.Proto, r.TLS.PeerCertificates[0].SerialNumber)
	}, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, a.pool() }, "h2")
	cfg := pair(backend, backend, mirror.Own)
	cfg.Candidate = mirror.LegConfig{}
	cfg.Primary.TLS.CA = a.File
	cfg.Primary.TLS.Cert, cfg.Primary.TLS.Key = a.issue("parallax.example", time.Now().Add(time.Hour))
	r := start(t, cfg)
	_, before := r.do("GET", "/", "")
	if r.reload(cfg); !strings.HasPrefix(before, "HTTP/2.0 ") {
		t.Fatalf("answered %q", before)
	}
	a.issue("parallax.example", time.Now().Add(time.Hour))
	if _, got := r.do("GET", "/", ""); got != before {
		t.Errorf("answered %q, and before %q: the connection was dropped without a reload", got, before)
	}
	r.reload(cfg)
	if _, got := r.do("GET", "/", ""); got == before || !strings.HasPrefix(got, "HTTP/2.0 ") {
		t.Errorf("answered %q after the reload, and before %q", got, before)
	}
}

// A new certificate in the same files counts for the next connection; those that
// are open go on.
func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	backend := speaker(t, say("hello"))
	cfg := pair(backend, backend, mirror.Own)
	cfg.TLS.Cert, cfg.TLS.Key = a.issue("shop.example", time.Now().Add(time.Hour))
	r := start(t, cfg)
	get := func(c *http.Client) *big.Int {
		t.Helper()
		res, err := c.Get("https://" + r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.TLS.PeerCertificates[0].SerialNumber
	}
	stays := a.client(true)
	before := get(stays)
	a.issue("shop.example", time.Now().Add(time.Hour))
	for deadline := time.Now().Add(10 * time.Second); get(a.client(true)).Cmp(before) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("new connections still get the old certificate")
		}
	}
	if get(stays).Cmp(before) != 0 {
		t.Error("the open connection was dropped")
	}
	if err := os.WriteFile(cfg.TLS.Key, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	get(a.client(true)) // files that cannot be used change nothing
}
