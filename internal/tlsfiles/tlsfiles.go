// Package tlsfiles reads certificates, keys and issuers for whoever listens or dials.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"parallax"
)

// Client is how a server is spoken to over TLS.
type Client struct {
	CA        string // file of issuers; empty: those the system trusts
	Cert, Key string // files of the certificate that is shown; empty: none
}

// Given reports whether something is said.
func (c Client) Given() bool { return c != Client{} }

// Validate returns everything that is wrong with the files, with paths ca, cert and key. Encrypted says whether the server's
// address asks for TLS, and wanted how one that does is written.
func (c Client) Validate(encrypted bool, wanted string) []parallax.Fault {
	faults := append(PoolFaults("ca", c.CA), PairFaults(c.Cert, c.Key)...)
	if encrypted {
		return faults
	}
	for _, given := range [][2]string{{"ca", c.CA}, {"cert", c.Cert}} {
		if given[1] != "" {
			faults = append(faults, parallax.Fault{Path: given[0], Text: "nothing is encrypted on the way to this address", Hint: fmt.Sprintf("write %s, or leave %s out", wanted, given[0])})
		}
	}
	return faults
}

// Into makes a configuration verify by these issuers and show this certificate. Issuers are read now, the certificate and its
// key for each handshake, so that they may be renewed.
func (c Client) Into(config *tls.Config) error {
	if c.CA != "" {
		pool, err := Pool(c.CA)
		if err != nil {
			return err
		}
		config.RootCAs = pool
	}
	if c.Cert == "" {
		return nil
	}
	if _, _, err := Pair(c.Cert, c.Key, time.Now()); err != nil {
		return err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, _, err := Pair(c.Cert, c.Key, time.Now())
		return &pair, err
	}
	return nil
}

// PairFaults returns what is wrong with a certificate and its key, with the paths cert and key. Neither is no fault.
func PairFaults(cert, key string) []parallax.Fault {
	switch {
	case cert == "" && key == "":
		return nil
	case cert == "":
		return []parallax.Fault{{Path: "cert", Text: "there is a key and no certificate", Hint: "write the file that holds the certificate"}}
	case key == "":
		return []parallax.Fault{{Path: "key", Text: "there is a certificate and no key", Hint: "write the file that holds its private key"}}
	}
	_, path, err := Pair(cert, key, time.Now())
	if err != nil {
		return []parallax.Fault{{Path: path, Text: err.Error()}}
	}
	return nil
}

// PoolFaults returns what is wrong with a file of issuers, if there is one, with a path.
func PoolFaults(path, file string) []parallax.Fault {
	if file == "" {
		return nil
	}
	if _, err := Pool(file); err != nil {
		return []parallax.Fault{{Path: path, Text: err.Error()}}
	}
	return nil
}

// Pair reads a certificate with its key and checks that it is valid at a
// time. Of an error it says which of the two it is about.
func Pair(cert, key string, now time.Time) (pair tls.Certificate, about string, err error) {
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return pair, "cert", fmt.Errorf("cannot read the certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return pair, "key", fmt.Errorf("cannot read the key: %w", err)
	}
	if block, _ := pem.Decode(keyPEM); block == nil {
		return pair, "key", fmt.Errorf("there is no private key in %s: it is not PEM", key)
	}
	if certificates, err := parseCertificates(certPEM); err != nil || len(certificates) == 0 {
		return pair, "cert", fmt.Errorf("there is no certificate in %s: %w", cert, orNotPEM(err))
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return pair, "key", fmt.Errorf("the key in %s does not fit the certificate in %s: %w", key, cert, err)
	}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return pair, "cert", fmt.Errorf("the certificate in %s has expired at %s", cert, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return pair, "cert", fmt.Errorf("the certificate in %s is not valid before %s", cert, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return pair, "", nil
}

func orNotPEM(err error) error {
	if err == nil {
		return errors.New("it is not PEM")
	}
	return err
}

// Pool reads certificates of issuers.
func Pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the issuers' certificates: %w", err)
	}
	certificates, err := parseCertificates(text)
	if err != nil || len(certificates) == 0 {
		return nil, fmt.Errorf("there is no certificate in %s: %w", file, orNotPEM(err))
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}
