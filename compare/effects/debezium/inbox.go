package debezium

import (
	"errors"
	"fmt"
	"strings"
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
	outbox  *Reader
}

// NewInbox returns the inbox of a leg with these databases; there may be none. It fails
// when two have one name.
func NewInbox(sources []Source, now func() time.Time) (*Inbox, error) {
	in := &Inbox{outbox: newReader(Source{Quiet: quiet, Delay: outboxDelay}, now)}
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

// Outbox returns the reader of plain envelopes: what the leg sent to the outside.
func (in *Inbox) Outbox() *Reader { return in.outbox }

// Take queues the events of a body, and returns how many there were. On an error none
// of them was: it is Faults when the body is wrong, and [ErrFull] when there is no room.
// Name is the database of events that do not say it themselves (the ends of
// transactions, heartbeats); it may be empty where the leg has one.
func (in *Inbox) Take(body []byte, name string) (int, error) {
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
	for i := range parts {
		q := in.outbox.queue
		if i < len(in.readers) {
			q = in.readers[i].queue
		}
		q.mu.Lock() // always in this order
		defer q.mu.Unlock()
		queues = append(queues, q)
	}
	for i, list := range parts {
		if !queues[i].room(len(list), size(list)) {
			return false
		}
	}
	for i, list := range parts {
		if len(list) > 0 {
			queues[i].push(list)
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
