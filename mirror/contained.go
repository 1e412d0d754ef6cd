package mirror

import (
	"fmt"

	"parallax"
)

// Outbound says what becomes of the calls that a leg makes to the outside while it
// is a shadow: mails, payments, messages. The zero value means that nobody said.
type Outbound string

// The values of a leg's outbound.
const (
	OutboundContained Outbound = "contained" // nothing it sends leaves its surroundings
	OutboundNone      Outbound = "none"      // it calls nobody
)

// Jobs says what becomes of the work that a leg does without being asked: timers,
// queues. The zero value means that nobody said.
type Jobs string

// The values of a leg's jobs.
const (
	JobsOff Jobs = "off" // they do not run
	JobsOwn Jobs = "own" // they run, on the leg's own data and queues
)

const (
	outboundHint = "write contained if nothing that the leg sends (mails, payments, messages) gets out, or none if it sends nothing"
	jobsHint     = "write off if its timers and queue consumers do not run, or own if they run on its own data and queues alone"
)

// validateContained returns what is wrong with the two declarations themselves.
func (l LegConfig) validateContained() []parallax.Fault {
	var faults []parallax.Fault
	switch l.Outbound {
	case "", OutboundContained, OutboundNone:
	default:
		faults = append(faults, parallax.Fault{Path: "outbound", Text: fmt.Sprintf("unknown value %q", l.Outbound), Hint: outboundHint})
	}
	switch l.Jobs {
	case "", JobsOff, JobsOwn:
	default:
		faults = append(faults, parallax.Fault{Path: "jobs", Text: fmt.Sprintf("unknown value %q", l.Jobs), Hint: jobsHint})
	}
	return faults
}

// undeclaredActs returns what has to be declared before unsafe requests are let
// through. A leg that executes them as a shadow does all that they bring about, and
// its database is only a part of that: what it sends to the outside, and what its
// jobs make of the rows later, reaches real people unless somebody saw to it.
func (s Service) undeclaredActs() []parallax.Fault {
	where := s.letsUnsafeThrough()
	if where == "" {
		return nil
	}
	var faults []parallax.Fault
	for name := range parallax.Leg(parallax.Legs) {
		l := s.leg(name)
		if len(l.URLs) == 0 || l.State != Own && l.State != Dry {
			continue
		}
		missing := func(key, hint string) {
			faults = append(faults, parallax.Fault{
				Path: name.String() + "." + key,
				Text: fmt.Sprintf("not declared, and %s lets unsafe requests through to this leg, which is %s", where, l.State),
				Hint: hint,
			})
		}
		if l.Outbound == "" {
			missing("outbound", outboundHint)
		}
		if l.Jobs == "" {
			missing("jobs", jobsHint)
		}
	}
	return faults
}

// letsUnsafeThrough returns the key that allows unsafe requests, "" when none does.
func (s Service) letsUnsafeThrough() string {
	if s.Mirror.Unsafe == UnsafeAllowed {
		return "mirror.unsafe"
	}
	for _, d := range s.Mirror.declarations() {
		if d.Unsafe == UnsafeAllowed {
			return "mirror.endpoints." + d.key + ".unsafe"
		}
	}
	return ""
}
