package redis

import (
	"fmt"
	"strings"
	"time"

	"parallax"
	"parallax/internal/redisclient"
	"parallax/internal/tlsfiles"
)

// Config says where the mirrors of an installation share identifiers. Without a URL
// they do not: every process keeps its own.
type Config struct {
	URL          string        `yaml:"redis" doc:"Redis that several mirrors share the identifiers of all services in, such as rediss://user@host:6379/0, or unix:///run/redis.sock; they need the same keys file; empty: each process keeps its own, in memory"`
	PasswordFile string        `yaml:"password_file" doc:"file with the password for redis; read again for each connection, so that it may change; empty: the one in the address, or none"`
	CA           string        `yaml:"ca" doc:"file with the certificates that the certificate of a rediss address is issued by, PEM; empty: those the system trusts"`
	Cert         string        `yaml:"cert" doc:"file with the certificate that Parallax shows redis, PEM; read again for each connection; empty: none"`
	Key          string        `yaml:"key" doc:"file with that certificate's private key, PEM"`
	Prefix       string        `yaml:"prefix" doc:"what every key in redis begins with; another one for each installation that has keys of its own"`
	Timeout      time.Duration `yaml:"timeout" doc:"how long redis may take to answer, connecting included; then it is away, and asked again a second later; no caller waits for it"`
}

// DefaultConfig shares nothing.
func DefaultConfig() Config { return Config{Prefix: "parallax:id:", Timeout: 250 * time.Millisecond} }

// Bounds of what is kept, and of the time between looks.
const (
	maxPrefix = 64               // bytes
	lookAgain = time.Second      // between looks whether Redis answers
	claimFor  = 10 * time.Second // how long a mirror that is gone still stands for its keys
)

// Validate returns everything that is wrong with c, its files included. No fault
// repeats the address, which may hold a password.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if c.Prefix == "" || len(c.Prefix) > maxPrefix || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
		add("prefix", fmt.Sprintf("%q cannot begin a key", c.Prefix), fmt.Sprintf("write 1 to %d characters of ASCII without blanks, such as parallax:id:", maxPrefix))
	}
	return append(faults, c.connection().Validate("identifiers.redis")...)
}

func (c Config) connection() redisclient.Connection {
	return redisclient.Connection{URL: c.URL, PasswordFile: c.PasswordFile, TLS: tlsfiles.Client{CA: c.CA, Cert: c.Cert, Key: c.Key}, Timeout: c.Timeout}
}
