package tlsfiles_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parallax/internal/rig"
	"parallax/internal/tlsfiles"
)

// TestValidate: each fault names the key of the configuration that it is about.
func TestValidate(t *testing.T) {
	t.Parallel()
	a := rig.NewAuthority(t)
	cert, key := a.Issue("parallax")
	_, stranger := a.Issue("stranger")
	none, junk := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(c tlsfiles.Client, encrypted bool, want ...string) {
		t.Helper()
		faults := c.Validate(encrypted, "https://")
		if len(faults) != len(want) {
			t.Errorf("%+v: %v, want %q", c, faults, want)
			return
		}
		for i, fault := range faults {
			if said := fault.Path + ": " + fault.Text + "; " + fault.Hint; !strings.Contains(said, want[i]) {
				t.Errorf("%+v: %q lacks %q", c, said, want[i])
			}
		}
	}
	f(tlsfiles.Client{}, false)
	f(tlsfiles.Client{CA: a.File, Cert: cert, Key: key}, true)
	f(tlsfiles.Client{CA: a.File, Cert: cert, Key: key}, false, "ca: nothing is encrypted", "write https://, or leave cert out")
	f(tlsfiles.Client{CA: none}, true, "ca: cannot read the issuers' certificates")
	f(tlsfiles.Client{CA: junk}, true, "it is not PEM")
	f(tlsfiles.Client{Cert: cert}, true, "key: there is a certificate and no key")
	f(tlsfiles.Client{Key: key}, true, "cert: there is a key and no certificate")
	f(tlsfiles.Client{Cert: none, Key: key}, true, "cert: cannot read the certificate")
	f(tlsfiles.Client{Cert: cert, Key: none}, true, "key: cannot read the key")
	f(tlsfiles.Client{Cert: junk, Key: key}, true, "cert: there is no certificate in")
	f(tlsfiles.Client{Cert: cert, Key: junk}, true, "key: there is no private key in")
	f(tlsfiles.Client{Cert: cert, Key: stranger}, true, "key: the key in")
}

func TestPairKnowsItsTime(t *testing.T) {
	t.Parallel()
	cert, key := rig.NewAuthority(t).Issue("parallax")
	for want, at := range map[string]time.Time{"": time.Now(), "has expired": time.Now().Add(2 * time.Hour), "is not valid before": time.Now().Add(-2 * time.Hour)} {
		if _, about, err := tlsfiles.Pair(cert, key, at); want == "" && err != nil || want != "" && (err == nil || about != "cert" || !strings.Contains(err.Error(), want)) {
			t.Errorf("at %v: %v about %q, want %q", at, err, about, want)
		}
	}
}

// TestIntoChangesNothingThatIsNotSaid: without files, a configuration is what it was.
func TestIntoChangesNothingThatIsNotSaid(t *testing.T) {
	t.Parallel()
	config := &tls.Config{}
	if err := (tlsfiles.Client{}).Into(config); err != nil || config.RootCAs != nil || config.GetClientCertificate != nil {
		t.Errorf("%v, %v", config, err)
	}
	if err := (tlsfiles.Client{CA: "/nonexistent"}).Into(config); err == nil || config.RootCAs != nil {
		t.Errorf("issuers that are not there: %v", err)
	}
}
