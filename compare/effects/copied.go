package effects

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"parallax"
)

// Bounds of a CopyMark. Of what is beyond them nothing is known.
const (
	maxMarks = 200_000         // exchanges
	markFor  = 2 * time.Minute // after the position was passed commits are noted
)

// Errors of [CopyMark.Of].
var (
	ErrNotReadYet = errors.New("the database was not read as far as that yet")
	ErrNotRead    = errors.New("the database was not read at the time, or nobody knows whose some of its commits are")
)

// CopyMark tells on which side of a position in the log of the primary's database the
// commits of exchanges lie that were under way when it was passed.
type CopyMark struct {
	joiner *Joiner
	source *source

	// Guarded by the joiner's lock.
	at     Position  // zero: not known yet
	until  time.Time // when the position was passed, or a little later; zero: not known yet
	lost   bool      // there were too many, or some say two things of whose they are
	ids    map[parallax.ID]span
	traces map[string]span // whoever has it: of two exchanges it is the commits of both
	want   time.Time       // until when everything has to be read
}

// span is the first and the last position of an exchange's commits.
type span struct{ first, last Position }

// MarkCopy begins to note the commits to a database of the primary, by the name that it was
// added with, for a copy of it that is about to be made. The mark before it knows no more than it does by then. It is an
// error if exchanges are not known by what their transactions say.
func (j *Joiner) MarkCopy(database string) (*CopyMark, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.on.tag && !j.on.trace && len(j.on.columns) == 0 {
		return nil, errors.New("which transactions are in a copy can only be told by a tag, a trace or a column: see effects.correlate")
	}
	i := slices.IndexFunc(j.sources, func(s *source) bool { return s.leg == parallax.Primary && s.name == database })
	switch {
	case i < 0:
		return nil, fmt.Errorf("%s is not read", database)
	case j.sources[i].gapped():
		return nil, fmt.Errorf("%s is not read at the moment", database)
	}
	j.mark = &CopyMark{joiner: j, source: j.sources[i], ids: map[parallax.ID]span{}, traces: map[string]span{}}
	return j.mark, nil
}

// note notes a commit. The lock is held.
func (m *CopyMark) note(s *source, c claim, at Position) {
	if m == nil || s != m.source || m.over(m.joiner.cfg.Now()) {
		return
	}
	switch {
	case c.how == parallax.ByTag && !m.until.IsZero() && c.id.Time().After(m.until):
		// It came later than the copy: it is not asked about.
	case c.torn || len(m.ids)+len(m.traces) >= maxMarks:
		m.lost = true
	case c.how == parallax.ByTrace:
		m.traces[c.trace] = m.traces[c.trace].with(at)
	case c.how != "":
		m.ids[c.id] = m.ids[c.id].with(at)
	}
}

func (s span) with(p Position) span {
	if s == (span{}) {
		return span{p, p}
	}
	return span{min(s.first, p), max(s.last, p)}
}

// over reports whether commits of a time are not noted any more. The lock is held.
func (m *CopyMark) over(at time.Time) bool { return !m.until.IsZero() && at.Sub(m.until) > markFor }

// Set says which position the copy was made at, which has what was committed there or before,
// and until when that was passed.
func (m *CopyMark) Set(at Position, until time.Time) {
	m.joiner.mu.Lock()
	defer m.joiner.mu.Unlock()
	m.at, m.until = at, until
}

// Of returns whether an exchange, whose last commit was before a time, has committed
// before the position and after it. It fails with [ErrNotReadYet] or [ErrNotRead].
func (m *CopyMark) Of(x *parallax.Exchange, until time.Time) (before, after bool, err error) {
	j := m.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, gap := m.source.gapIn(x.Received, until); gap || m.lost || m.at == 0 || m.over(until) {
		return false, false, ErrNotRead
	}
	if m.source.covered.Before(until) {
		if j.stopped || j.mark != m {
			return false, false, ErrNotRead
		}
		m.want = later(m.want, until)
		j.stir()
		return false, false, ErrNotReadYet
	}
	whole, ok := m.ids[x.ID]
	if trace, _, traced := traceOf(x.Legs[parallax.Primary]); traced {
		if s, found := m.traces[trace]; found && ok {
			whole = span{min(whole.first, s.first), max(whole.last, s.last)}
		} else if found {
			whole, ok = s, true
		}
	}
	return ok && whole.first <= m.at, ok && whole.last > m.at, nil
}

// wanted reports whether somebody waits for the database to be read further.
func (m *CopyMark) wanted(s *source) bool {
	return m != nil && m.source == s && s.covered.Before(m.want)
}
