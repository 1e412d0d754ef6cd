package redisclient_test

import (
	"net"
	"os"
	"testing"
	"time"

	"parallax/internal/redisclient"
	"parallax/internal/rig"
	"parallax/internal/tlsfiles"
)

// TestRedisOverTLS asks a real Redis that takes certificates of an authority alone.
func TestRedisOverTLS(t *testing.T) {
	t.Parallel()
	a, other := rig.NewAuthority(t), rig.NewAuthority(t)
	cert, key := a.Issue("redis")
	mine, mineKey := a.Issue("parallax")
	stranger, strangerKey := other.Issue("parallax")
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	rig.StartRedis(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File, "--tls-auth-clients", "yes")
	f := func(name, scheme string, files tlsfiles.Client, good bool) {
		t.Helper()
		client, err := redisclient.Connection{URL: scheme + "://" + address, TLS: files, Timeout: 5 * time.Second}.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Set(t.Context(), "a", "b", 0).Err(); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("with both", "rediss", tlsfiles.Client{CA: a.File, Cert: mine, Key: mineKey}, true)
	f("without a certificate", "rediss", tlsfiles.Client{CA: a.File}, false)
	f("with one of another authority", "rediss", tlsfiles.Client{CA: a.File, Cert: stranger, Key: strangerKey}, false)
	f("by the system's issuers", "rediss", tlsfiles.Client{Cert: mine, Key: mineKey}, false)
	f("by another issuer", "rediss", tlsfiles.Client{CA: other.File, Cert: mine, Key: mineKey}, false)
	f("in the clear", "redis", tlsfiles.Client{}, false)
}

// TestACertificateIsRenewed: the files are read for each connection.
func TestACertificateIsRenewed(t *testing.T) {
	t.Parallel()
	a, other := rig.NewAuthority(t), rig.NewAuthority(t)
	cert, key := a.Issue("redis")
	mine, mineKey := a.Issue("parallax")
	stranger, strangerKey := other.Issue("parallax")
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	rig.StartRedis(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File)
	client, err := redisclient.Connection{URL: "rediss://" + address, TLS: tlsfiles.Client{CA: a.File, Cert: stranger, Key: strangerKey}, Timeout: 5 * time.Second}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a certificate of another authority is taken")
	}
	for to, from := range map[string]string{stranger: mine, strangerKey: mineKey} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the renewed one is not: %v", err)
	}
}
