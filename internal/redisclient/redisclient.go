// Package redisclient connects to a Redis as the configuration says, for those who keep
// something there: a client that never waits longer than it is told to, and asks nothing
// twice.
package redisclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"parallax"
	"parallax/internal/tlsfiles"
)

// Connection is where a Redis is and how it is spoken to. Files are read when they are
// needed, the password's for each connection.
type Connection struct {
	URL          string
	PasswordFile string
	TLS          tlsfiles.Client
	Timeout      time.Duration // of each call, connecting included
	MaxAnswer    int           // bytes of one answer; 0: 4 MiB
}

// Bounds of a Connection.
const (
	LeastTimeout = 10 * time.Millisecond
	MostTimeout  = 5 * time.Second
	maxPassword  = 64 << 10 // bytes of the file
)

// Bounds of the connections of one process.
const (
	connections = 16              // at once
	unusedFor   = 5 * time.Minute // until one is closed
)

// Open returns a client; it does not connect.
func (c Connection) Open() (*redis.Client, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	quiet()
	return redis.NewClient(o), nil
}

// quiet is done once: the library's log is one variable, which running clients read.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// silent is the log of the library, which goes to stderr by default and says nothing
// that is not in an error too.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Validate returns everything that is wrong with the connection, its files included, with
// paths redis, password_file, ca, cert, key and timeout. No fault repeats the address, which may hold a
// password; key is what it is called in the configuration.
func (c Connection) Validate(key string) []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if c.Timeout < LeastTimeout || c.Timeout > MostTimeout {
		add("timeout", fmt.Sprintf("%s is not between %s and %s", c.Timeout, LeastTimeout, MostTimeout), "write 250ms")
	}
	if c.URL == "" {
		for _, given := range [][2]string{{"password_file", c.PasswordFile}, {"ca", c.TLS.CA}, {"cert", c.TLS.Cert}, {"key", c.TLS.Key}} {
			if given[1] != "" {
				add(given[0], "means nothing without redis", "name a server in "+key+", or leave it out")
			}
		}
		return faults
	}
	at, wrong := parseURL(c.URL)
	if wrong != "" {
		add("redis", wrong, "write it like redis://host:6379/0, rediss://user@host:6379/0 or unix:///run/redis.sock")
	}
	if c.PasswordFile != "" {
		if _, err := readPassword(c.PasswordFile); err != nil {
			add("password_file", err.Error(), "")
		}
		if at != nil && at.Password != "" {
			add("password_file", "there is a password in redis too", "keep one of them")
		}
	}
	return append(faults, c.TLS.Validate(at == nil || at.TLSConfig != nil, "rediss:// in "+key)...)
}

// parseURL reads an address, or says what is wrong with it without repeating it.
func parseURL(text string) (*redis.Options, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "is not an address"
	case u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix":
		return nil, fmt.Sprintf("%q is not a scheme of Redis", u.Scheme)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, "has parameters, which are not read"
	case u.Scheme == "unix" && (u.Host != "" || strings.Trim(u.Path, "/") == ""):
		return nil, "names no socket"
	case u.Scheme != "unix" && u.Hostname() == "":
		return nil, "names no host"
	}
	if u.Scheme != "unix" {
		if db, err := strconv.Atoi(strings.Trim(u.Path, "/")); strings.Trim(u.Path, "/") != "" && (err != nil || db < 0) {
			return nil, "names a database that is not a number"
		}
	}
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, "is not an address of Redis"
	}
	return o, ""
}

// options are those of a client that never waits longer than it is told to, and
// asks nothing twice.
func (c Connection) options() (*redis.Options, error) {
	o, wrong := parseURL(c.URL)
	if wrong != "" {
		return nil, errors.New("the address of Redis " + wrong)
	}
	if o.TLSConfig != nil {
		if err := c.TLS.Into(o.TLSConfig); err != nil {
			return nil, err
		}
	}
	if c.PasswordFile != "" {
		user := o.Username
		o.CredentialsProviderContext = func(context.Context) (string, string, error) {
			password, err := readPassword(c.PasswordFile)
			return user, password, err
		}
	}
	o.Dialer = dialer(o.TLSConfig, c.Timeout, cmp.Or(c.MaxAnswer, maxAnswer))
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.Timeout, c.Timeout, c.Timeout, c.Timeout
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	o.PoolSize, o.MaxActiveConns, o.PipelinePoolSize, o.ConnMaxIdleTime = connections, connections, -1, unusedFor
	o.DisableIdentity, o.MaintNotificationsConfig = true, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// dialer connects, the handshake of TLS included, within a time.
func dialer(secure *tls.Config, within time.Duration, most int) func(ctx context.Context, network, address string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: within}
	dial := plain.DialContext
	if secure != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: secure}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return newBounded(conn, most), nil
	}
}

// readPassword reads the first line of a file.
func readPassword(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	if info.Size() > maxPassword {
		return "", fmt.Errorf("cannot read the password: %s has %d bytes", file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("cannot read the password: the first line of %s is empty", file)
	}
	return line, nil
}
