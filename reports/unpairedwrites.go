package reports

import (
	"fmt"
	"math"

	"parallax/divergence"
)

// UnpairedWrites is what either leg's requests did to one table in one way, and by how much more
// often the candidate's had no such change, had one, and had another number than usual.
type UnpairedWrites struct {
	Table     string           `json:"table"`
	Op        string           `json:"op"`
	Candidate divergence.Wrote `json:"candidate"`
	Primary   divergence.Wrote `json:"primary"`
	None      Difference       `json:"none"`
	Some      Difference       `json:"some"`
	Other     Difference       `json:"other"`
}

// writesShare is by how much the shares of requests may differ that write something, or an unusual
// number. It is wide, and exceeding it holds only: the two versions are asked by other
// callers, who do not all do the same, and one of them who does it all day is no sample.
const writesShare = 0.05

// maxWrites bounds the kinds of change that an endpoint is judged by, however many a store holds.
const maxWrites = 64

// writes is the evidence on one kind of change.
type writes struct {
	table, op          string
	candidate, primary divergence.Wrote
	open               [2]divergence.Wrote
	none, some, other  difference
}

// addWrites takes in what requests of either leg wrote.
func (a *alone) addWrites(list []divergence.LiveWrite) {
	for _, l := range list {
		if w := a.writesOf(l.Table, l.Op); w != nil {
			w.open[0], w.open[1] = w.open[0].Plus(wroteOf(l.Candidate)), w.open[1].Plus(wroteOf(l.Primary))
		}
	}
}

// writesOf returns the evidence on a kind of change, nil where there are too many.
func (a *alone) writesOf(table, op string) *writes {
	for _, w := range a.writes {
		if w.table == table && w.op == op {
			return w
		}
	}
	if len(a.writes) >= maxWrites {
		return nil
	}
	w := &writes{table: table, op: op}
	a.writes = append(a.writes, w)
	return w
}

// wroteOf returns counts of which no part is more than its whole.
func wroteOf(w divergence.Wrote) divergence.Wrote {
	w.N = min(w.N, most)
	w.None = min(w.None, w.N)
	w.Sized = min(w.Sized, w.N-w.None)
	w.Other = min(w.Other, w.Sized)
	return w
}

// closeWrites counts the minute that is over.
func (a *alone) closeWrites() {
	for _, w := range a.writes {
		c, p := w.open[0], w.open[1]
		w.open = [2]divergence.Wrote{}
		w.none.add(c.None, c.N, p.None, p.N)
		w.some.add(c.N-c.None, c.N, p.N-p.None, p.N)
		w.other.add(c.Other, c.Sized, p.Other, p.Sized)
		w.candidate, w.primary = w.candidate.Plus(c), w.primary.Plus(p)
	}
}

// judgeWrites returns the limits of each kind. The three of all kinds together hold with
// probability 1-alpha: the one seen as the jth has the share 6/(pi^2 j^2) of it.
func (a *alone) judgeWrites(alpha float64) (out []UnpairedWrites) {
	for i, w := range a.writes {
		each := alpha * math.Exp(lnWeight(i+1)) / 3
		limits := func(d difference) Difference { return Difference{writesShare, d.lower(each), d.upper(each)} }
		out = append(out, UnpairedWrites{
			Table: w.table, Op: w.op, Candidate: w.candidate, Primary: w.primary,
			None: limits(w.none), Some: limits(w.some), Other: limits(w.other),
		})
	}
	return out
}

// writesReasons says what of it holds: of each kind the first that is found.
func (u *Unpaired) writesReasons() (out []Reason) {
	for _, w := range u.Writes {
		r := Reason{Code: LiveEffects, Endpoint: u.Endpoint, Test: UnpairedEffects, N: w.Candidate.N, PrimaryN: w.Primary.N}
		d := w.None
		switch {
		case d.Lower > d.Threshold:
			r.K, r.PrimaryK, r.Detail = w.Candidate.None, w.Primary.None, "made no "+w.change()+" that is known to be its"
		case w.Some.Lower > w.Some.Threshold:
			d, r.K, r.PrimaryK, r.Detail = w.Some, w.Candidate.N-w.Candidate.None, w.Primary.N-w.Primary.None, "made some "+w.change()
		case w.Other.Lower > w.Other.Threshold:
			d, r.K, r.PrimaryK, r.Detail = w.Other, w.Candidate.Other, w.Primary.Other, "made another number of "+w.Op+"s of "+w.Table+" than usual"
			r.N, r.PrimaryN = w.Candidate.Sized, w.Primary.Sized
		default:
			continue
		}
		r.Threshold, r.Lower, r.Upper = d.Threshold, d.Lower, d.Upper
		out = append(out, r)
	}
	return out
}

func (w UnpairedWrites) change() string { return w.Op + " of " + w.Table }

// writesClause says how many requests are known to the last row.
func (u Unpaired) writesClause() string {
	read, all := u.Candidate.Read, u.Candidate.Read+u.Candidate.Unread
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("; how much it wrote is known of %s of %s requests", count(read), count(all))
}

// notCovered says what is known instead of what was compared.
func (u *Unpaired) notCovered() string {
	text := "not compared, judged unpaired by what callers got"
	if len(u.Writes) > 0 {
		text += " and by how much was written"
	}
	if n := u.Candidate.Unread + u.Primary.Unread; n > 0 {
		text += fmt.Sprintf("; what %s requests wrote is not known", count(n))
	}
	return text
}
