// Package consul finds the instances of a leg in Consul, by blocking queries.
package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"parallax/mirror/upstream"
)

// Catalog asks Consul. Token, TLS and data centre come from Consul's own
// environment variables (CONSUL_HTTP_TOKEN and so on), and so does the address
// where none is given. The zero value is ready to use, by many goroutines.
type Catalog struct {
	mu      sync.Mutex
	clients map[string]*api.Client // by address; as many as are configured
}

var _ upstream.Catalog = (*Catalog)(nil)

// wait is how long a query blocks while nothing changes. Consul adds up to a
// sixteenth.
const wait = 2 * time.Minute

// answerWithin bounds one query, besides its wait.
const answerWithin = 10 * time.Second

// within bounds a query, which waits for a change unless its index is 0.
func within(index uint64) time.Duration {
	if index == 0 {
		return answerWithin
	}
	return wait + wait/16 + answerWithin
}

// Passing implements [upstream.Catalog]: instances whose checks all pass, each at
// its service address or, without one, at its node's.
func (c *Catalog) Passing(ctx context.Context, at, service string, index uint64) ([]upstream.Address, uint64, error) {
	client, err := c.client(at)
	if err != nil {
		return nil, 0, err
	}
	ctx, end := context.WithTimeout(ctx, within(index))
	defer end()
	options := (&api.QueryOptions{WaitIndex: index, WaitTime: wait}).WithContext(ctx)
	entries, meta, err := client.Health().Service(service, "", true, options)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot ask Consul for service %q: %w", service, err)
	}
	var found []upstream.Address
	for _, e := range entries {
		host := e.Service.Address
		if host == "" {
			host = e.Node.Address
		}
		if host == "" || e.Service.Port < 1 || e.Service.Port > 65535 {
			continue // it would lead to this machine, or nowhere
		}
		addr := net.JoinHostPort(host, strconv.Itoa(e.Service.Port))
		found = append(found, upstream.Address{Name: addr, Weight: e.Service.Weights.Passing})
	}
	return found, max(meta.LastIndex, 1), nil // 0 would not wait
}

// errCredentials does not repeat the address: errors are logged.
var errCredentials = errors.New("cannot use Consul at an address with credentials: its client takes them from CONSUL_HTTP_AUTH")

// client returns the client of an address.
func (c *Catalog) client(at string) (*api.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.clients[at]; client != nil {
		return client, nil
	}
	config := api.DefaultConfig()
	if at != "" {
		config.Address = at
	}
	if strings.Contains(config.Address, "@") {
		return nil, errCredentials
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("cannot use Consul at %q: %w", config.Address, err)
	}
	if c.clients == nil {
		c.clients = make(map[string]*api.Client)
	}
	c.clients[at] = client
	return client, nil
}
