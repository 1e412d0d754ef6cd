package redisqueue

import (
	"fmt"
	"strings"
	"time"

	"parallax"
	"parallax/internal/redisclient"
	"parallax/internal/tlsfiles"
)

// Config says where the queue is. Without a URL there is none.
type Config struct {
	URL          string        `yaml:"redis" doc:"Redis in which mirrors hand exchanges to workers of other processes, such as rediss://user@host:6379/0, or unix:///run/redis.sock; every process needs the same keys file; empty: the queue is in memory, and one process does everything"`
	PasswordFile string        `yaml:"password_file" doc:"file with the password for redis; read again for each connection, so that it may change; empty: the one in the address, or none"`
	CA           string        `yaml:"ca" doc:"file with the certificates that the certificate of a rediss address is issued by, PEM; empty: those the system trusts"`
	Cert         string        `yaml:"cert" doc:"file with the certificate that Parallax shows redis, PEM; read again for each connection; empty: none"`
	Key          string        `yaml:"key" doc:"file with that certificate's private key, PEM"`
	Prefix       string        `yaml:"prefix" doc:"what every key in redis begins with; another one for each installation"`
	Timeout      time.Duration `yaml:"timeout" doc:"how long redis may take to answer, connecting included; then it is away, and exchanges wait in memory and on disk"`
	ClaimAfter   time.Duration `yaml:"claim_after" doc:"how long a worker may be silent about the exchanges that it has; then another one takes them over"`
	Spool        parallax.Size `yaml:"spool" doc:"how many bytes of exchanges, compressed and encrypted, a mirror keeps in state_dir/queue while redis is away; more are lost, and counted"`
}

// DefaultConfig is the queue in memory.
func DefaultConfig() Config {
	return Config{Prefix: "parallax:queue:", Timeout: time.Second, ClaimAfter: 30 * time.Second, Spool: 256 << 20}
}

// Bounds.
const (
	maxPrefix     = 64       // bytes
	maxEntry      = 8 << 20  // bytes of one exchange, compressed; a larger one is refused
	maxRead       = 16       // exchanges of one reading
	maxDecoded    = 64 << 20 // bytes of one exchange
	maxDeliveries = 5        // workers that an exchange is given to
	maxDead       = 1000     // dead letters that are kept
	leastClaim    = time.Second
	mostClaim     = time.Hour
)

// Validate returns everything that is wrong with c, its files included. No fault
// repeats the address, which may hold a password.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if c.Prefix == "" || len(c.Prefix) > maxPrefix || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
		add("prefix", fmt.Sprintf("%q cannot begin a key", c.Prefix), fmt.Sprintf("write 1 to %d characters of ASCII without blanks, such as parallax:queue:", maxPrefix))
	}
	if c.ClaimAfter < leastClaim || c.ClaimAfter > mostClaim {
		add("claim_after", fmt.Sprintf("%s is not between %s and %s", c.ClaimAfter, leastClaim, mostClaim), "write 30s")
	}
	if c.Spool < 0 {
		add("spool", "is negative", "write 0 to keep nothing on disk")
	}
	return append(faults, c.connection().Validate("queue.redis")...)
}

func (c Config) connection() redisclient.Connection {
	return redisclient.Connection{URL: c.URL, PasswordFile: c.PasswordFile, TLS: tlsfiles.Client{CA: c.CA, Cert: c.Cert, Key: c.Key}, Timeout: c.Timeout, MaxAnswer: (maxRead + 1) * maxEntry}
}
