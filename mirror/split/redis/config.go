package redis

import (
	"fmt"
	"strings"
	"time"

	"parallax"
	"parallax/internal/redisclient"
	"parallax/internal/tlsfiles"
)

// Config says where the mirrors of an installation share the steps of their services.
// Without a URL each process has its own.
type Config struct {
	URL          string        `yaml:"redis" doc:"Redis that several mirrors share the steps of all services in, such as rediss://user@host:6379/0, or unix:///run/redis.sock; empty: each process has steps of its own"`
	PasswordFile string        `yaml:"password_file" doc:"file with the password for redis; read again for each connection, so that it may change; empty: the one in the address, or none"`
	CA           string        `yaml:"ca" doc:"file with the certificates that the certificate of a rediss address is issued by, PEM; empty: those the system trusts"`
	Cert         string        `yaml:"cert" doc:"file with the certificate that Parallax shows redis, PEM; read again for each connection; empty: none"`
	Key          string        `yaml:"key" doc:"file with that certificate's private key, PEM"`
	Prefix       string        `yaml:"prefix" doc:"what every key and channel in redis begins with; another one for each installation"`
	Timeout      time.Duration `yaml:"timeout" doc:"how long redis may take to answer, connecting included; then it is away, a step is not raised, and a rollback holds here until it is back"`
}

// DefaultConfig shares nothing.
func DefaultConfig() Config { return Config{Prefix: "parallax:step:", Timeout: time.Second} }

const maxPrefix = 64 // bytes

// Validate returns everything that is wrong with c, its files included. No fault
// repeats the address, which may hold a password.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if c.Prefix == "" || len(c.Prefix) > maxPrefix || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, parallax.Fault{Path: "prefix", Text: fmt.Sprintf("%q cannot begin a key", c.Prefix), Hint: fmt.Sprintf("write 1 to %d characters of ASCII without blanks, such as parallax:step:", maxPrefix)})
	}
	return append(faults, c.connection().Validate("steps.redis")...)
}

func (c Config) connection() redisclient.Connection {
	return redisclient.Connection{URL: c.URL, PasswordFile: c.PasswordFile, TLS: tlsfiles.Client{CA: c.CA, Cert: c.Cert, Key: c.Key}, Timeout: c.Timeout}
}
