package effects

import (
	"slices"
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
func (on *correlations) claimOf(tx *Transaction) (out claim) {
	for _, c := range on.claims(tx) {
		out = out.and(c)
	}
	return out
}

// claims lists what a transaction says of its exchange by the strongest of the ways that are
// on.
func (on *correlations) claims(tx *Transaction) []claim {
	var tags, traces []claim
	for _, text := range tx.Tags {
		c := readTag(text)
		switch {
		case c.how == parallax.ByTag && on.tag:
			tags = append(tags, c)
		case c.how == parallax.ByTrace && on.trace:
			traces = append(traces, c)
		}
	}
	switch {
	case len(tags) > 0:
		return tags
	case len(traces) > 0:
		return traces
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

// column lists what the columns of a transaction's rows say. Rows of one transaction
// are of one exchange: not every table needs the column. What was written counts; of an
// update of which the log does not say what the row had before, only if nothing else does,
// since the row may have it from the exchange that made it.
func (on *correlations) column(tx *Transaction) []claim {
	var written, perhaps []claim
	for i := range tx.Changes {
		change := &tx.Changes[i]
		for _, name := range on.columns {
			now := columnOf(change.After, name)
			if now == nil || now.Value == nil {
				continue
			}
			id, err := parallax.ParseID(*now.Value)
			if err != nil {
				continue
			}
			c := claim{how: parallax.ByColumn, id: id}
			switch was := columnOf(change.Before, name); {
			case change.Op == parallax.Insert, was != nil && (was.Value == nil || *was.Value != *now.Value):
				written = append(written, c)
			case was == nil:
				perhaps = append(perhaps, c)
			}
		}
	}
	if len(written) > 0 {
		return written
	}
	return perhaps
}

// columnOf returns a column of an image, nil if it is not there.
func columnOf(image []parallax.Column, name string) *parallax.Column {
	i := slices.IndexFunc(image, func(c parallax.Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &image[i]
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
