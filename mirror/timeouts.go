package mirror

import (
	"fmt"
	"time"

	"parallax"
)

// Timeouts is how long callers may take. A reload changes them for connections that
// are open, too; but for HTTP/2, where idle holds from when the listener was opened.
type Timeouts struct {
	Head  time.Duration `yaml:"head" doc:"how long a caller may take for the head of a request, for a TLS handshake, and after connecting"`
	Idle  time.Duration `yaml:"idle" doc:"then a connection without a request is closed; longer than what stands in front keeps unused connections"`
	Body  time.Duration `yaml:"body" doc:"how long a caller may be silent in the middle of a request's body"`
	Write time.Duration `yaml:"write" doc:"how long a caller may take nothing of its answer"`
}

// DefaultTimeouts is the timeouts block where it is silent.
func DefaultTimeouts() Timeouts {
	return Timeouts{Head: 10 * time.Second, Idle: 2 * time.Minute, Body: time.Minute, Write: time.Minute}
}

// Bounds of each timeout: limits are looked at four times a second, and what has
// none would let callers pile up.
const (
	minTimeout = time.Second
	maxTimeout = 24 * time.Hour
)

// Validate returns everything that is wrong with the block.
func (t Timeouts) Validate() []parallax.Fault {
	var faults []parallax.Fault
	for _, limit := range []struct {
		key   string
		value time.Duration
	}{{"head", t.Head}, {"idle", t.Idle}, {"body", t.Body}, {"write", t.Write}} {
		if limit.value < minTimeout || limit.value > maxTimeout {
			faults = append(faults, parallax.Fault{
				Path: limit.key, Text: fmt.Sprintf("a limit of %s", limit.value), Hint: "write a duration from 1s to 24h, such as 30s, or leave it out",
			})
		}
	}
	return faults
}

// timeouts returns those in force.
func (m *Mirror) timeouts() Timeouts { return m.current.Load().cfg.Timeouts }
