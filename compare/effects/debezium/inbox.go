package debezium

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// ErrFull says that there is no room for a body's events now: send it again in a
// second.
var ErrFull = errors.New("events come faster than they are read")

// Faults is what is wrong with a body.
type Faults []Fault

// Error tells all of them.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i := range f {
		texts[i] = f[i].String()
	}
	return strings.Join(texts, "; ")
}

// Inbox takes the events of one leg's databases. It is safe for concurrent use.
type Inbox struct {
	readers []*Reader
	outbox  *Reader // nil: plain envelopes are refused

	wrong, full atomic.Int64 // bodies that were refused
}

// InboxStats counts what was sent to an inbox.
type InboxStats struct {
	Wrong int64 // bodies that were refused because something was wrong with them
	Full  int64 // bodies that were refused because there was no room
	Read  map[string]Stats
}

// Stats returns what was sent so far; what became of events by the database that they are
// from, and under outbox what was sent to the outside.
func (in *Inbox) Stats() InboxStats {
	out := InboxStats{Wrong: in.wrong.Load(), Full: in.full.Load(), Read: map[string]Stats{}}
	for _, r := range in.readers {
		out.Read[r.source.Name] = r.Stats()
	}
	if in.outbox != nil {
		out.Read["outbox"] = in.outbox.Stats()
	}
	return out
}

// NewInbox returns the inbox of a leg with these databases, and with these sinks that
// plain envelopes may name; there may be none of either. It fails when two databases
// have one name.
func NewInbox(sources []Source, sinks []string, now func() time.Time) (*Inbox, error) {
	in := &Inbox{}
	if len(sinks) > 0 {
		in.outbox = newReader(Source{Tables: sinks, Quiet: quiet, Delay: outboxDelay, Silence: -1}, now)
	}
	for _, s := range sources {
		if s.Name == "" || in.reader(s.Name) != nil {
			return nil, fmt.Errorf("cannot take events of %q: a source needs a name of its own", s.Name)
		}
		in.readers = append(in.readers, newReader(s.withDefaults(), now))
	}
	return in, nil
}

// Reader returns the reader of a database, nil if it has none of that name.
func (in *Inbox) Reader(name string) *Reader { return in.reader(name) }

// Outbox returns the reader of plain envelopes: what the leg sent to the outside. It is
// nil if no sink is named.
func (in *Inbox) Outbox() *Reader { return in.outbox }

// Take queues the events of a body, and returns how many there were. On an error none
// of them was: it is Faults when the body is wrong, and [ErrFull] when there is no room.
// Name is the database of events that do not say it themselves (the ends of
// transactions, heartbeats); it may be empty where the leg has one.
func (in *Inbox) Take(body []byte, name string) (int, error) {
	n, err := in.take(body, name)
	switch {
	case errors.Is(err, ErrFull):
		in.full.Add(1)
	case err != nil:
		in.wrong.Add(1)
	}
	return n, err
}

func (in *Inbox) take(body []byte, name string) (int, error) {
	events, faults := parse(body)
	if len(faults) > 0 {
		return 0, Faults(faults)
	}
	parts := make([][]event, len(in.readers)+1)
	for i := range events {
		to, err := in.route(&events[i], name)
		if err != nil {
			err.Event = i
			if faults = append(faults, *err); len(faults) == maxFaults {
				break
			}
			continue
		}
		if to >= 0 {
			parts[to] = append(parts[to], events[i])
		}
	}
	if len(faults) > 0 {
		return 0, Faults(faults)
	}
	if !in.push(parts) {
		return 0, ErrFull
	}
	return len(events), nil
}

// route returns which reader an event is for: a place in readers, the one behind them
// for the outbox, -1 for none.
func (in *Inbox) route(e *event, name string) (int, *Fault) {
	if e.kind == emitted {
		if in.outbox == nil {
			return 0, &Fault{Field: "sink", Text: "this leg has no sinks: name them in effects"}
		}
		return len(in.readers), nil
	}
	wanted := e.source
	if wanted == "" {
		wanted = name
	}
	switch {
	case wanted == "" && len(in.readers) == 1:
		return 0, nil
	case wanted == "" && e.kind == alive:
		return -1, nil
	case wanted == "":
		return 0, &Fault{Field: "source.name", Text: fmt.Sprintf("the event does not say which database it is from: add ?name= with one of %s to the URL", in.names())}
	}
	for i, r := range in.readers {
		if r.source.Name == wanted {
			return i, nil
		}
	}
	return 0, &Fault{Field: "source.name", Text: fmt.Sprintf("%.100q is not a database of this leg; those with debezium: are %s", wanted, in.names())}
}

// push queues all parts or none.
func (in *Inbox) push(parts [][]event) bool {
	var queues []*queue
	for _, r := range append(slices.Clip(in.readers), in.outbox) {
		if r == nil { // no outbox, and nothing for it
			continue
		}
		r.queue.mu.Lock() // always in this order
		defer r.queue.mu.Unlock()
		queues = append(queues, r.queue)
	}
	for i, q := range queues {
		if !q.room(len(parts[i]), size(parts[i])) {
			return false
		}
	}
	for i, q := range queues {
		if len(parts[i]) > 0 {
			q.push(parts[i])
		}
	}
	return true
}

func (in *Inbox) reader(name string) *Reader {
	for _, r := range in.readers {
		if r.source.Name == name {
			return r
		}
	}
	return nil
}

func (in *Inbox) names() string {
	if len(in.readers) == 0 {
		return "none"
	}
	names := make([]string, len(in.readers))
	for i, r := range in.readers {
		names[i] = r.source.Name
	}
	return strings.Join(names, ", ")
}
