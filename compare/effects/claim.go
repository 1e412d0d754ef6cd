package effects

import (
	"strings"

	"parallax"
)

// claim is what a transaction says of the exchange that caused it.
type claim struct {
	how    parallax.Correlation // empty: nothing
	id     parallax.ID          // of ByTag and ByColumn
	leg    parallax.Leg         // that the tag names, if named
	named  bool
	trace  string // of ByTrace: the trace's id
	parent string // and the caller's span in it
	torn   bool   // it says two things
}

// claimOf reads what a transaction says of its exchange, by the strongest of the ways
// that are on. Whoever says two things of one strength has said nothing.
func (on *correlations) claimOf(tx *Transaction) claim {
	var tag, trace claim
	for _, text := range tx.Tags {
		c := readTag(text)
		switch {
		case c.how == parallax.ByTag && on.tag:
			tag = tag.and(c)
		case c.how == parallax.ByTrace && on.trace:
			trace = trace.and(c)
		}
	}
	switch {
	case tag.how != "":
		return tag
	case trace.how != "":
		return trace
	}
	return on.column(tx)
}

// and is what two claims of one strength come to. Two spans of one trace are no
// contradiction.
func (c claim) and(d claim) claim {
	switch {
	case c.how == "":
		return d
	case c.id != d.id || c.trace != d.trace || c.named && d.named && c.leg != d.leg:
		c.torn = true
	case c.parent != d.parent:
		c.parent = ""
	case d.named:
		c.named, c.leg = true, d.leg
	}
	return c
}

// readTag reads the content of a message: the id of an exchange, the same with a leg as
// in ID/candidate, or a traceparent.
func readTag(text string) claim {
	id, leg, named := strings.Cut(text, "/")
	if x, err := parallax.ParseID(id); err == nil {
		c := claim{how: parallax.ByTag, id: x, named: named}
		if named {
			for l := range parallax.Leg(parallax.Legs) {
				if l.String() == leg {
					c.leg = l
					return c
				}
			}
			return claim{}
		}
		return c
	}
	if trace, parent, ok := readTraceparent(text); ok {
		return claim{how: parallax.ByTrace, trace: trace, parent: parent}
	}
	return claim{}
}

// readTraceparent reads a header of W3C Trace Context.
func readTraceparent(text string) (trace, parent string, ok bool) {
	parts := strings.SplitN(text, "-", 5)
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || strings.Trim(parts[1], "0") == "" {
		return "", "", false
	}
	if strings.Trim(parts[1]+parts[2], "0123456789abcdef") != "" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// column returns what the columns of a transaction's rows say. Rows of one transaction
// are of one exchange: not every table needs the column.
func (on *correlations) column(tx *Transaction) (out claim) {
	for i := range tx.Changes {
		for _, name := range on.columns {
			for k := range tx.Changes[i].After {
				c := &tx.Changes[i].After[k]
				if c.Name != name || c.Value == nil {
					continue
				}
				if id, err := parallax.ParseID(*c.Value); err == nil {
					out = out.and(claim{how: parallax.ByColumn, id: id})
				}
			}
		}
	}
	return out
}

// traceOf returns the trace and span by which a leg knows its request.
func traceOf(call *parallax.Call) (trace, parent string, ok bool) {
	for _, f := range call.Request.Headers {
		if strings.EqualFold(f.Name, "traceparent") {
			return readTraceparent(f.Value)
		}
	}
	return "", "", false
}
