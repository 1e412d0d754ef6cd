package effects

import (
	"context"
	"slices"
	"time"

	"parallax"
)

const (
	maxGaps  = 256 // that are remembered of a database; the oldest of more are taken together
	maxPolls = 256 // positions that were asked for and are not passed yet
)

// source is one database of a leg, and the sink that its reader reads into. All but
// its first five fields are guarded by the joiner's lock.
type source struct {
	joiner *Joiner
	leg    parallax.Leg
	name   string // without secrets
	reader Reader
	since  time.Time // what was committed before, nobody has read

	passed  Position
	polls   []poll    // asked for, and not passed yet
	covered time.Time // everything that was committed until then is read
	gaps    []Gap     // the last one may still be open
	era     int       // of the log: positions of another one mean nothing
	ids     map[string]bool
	dropped int // index in gaps of the one that stands for what the log has no room for, and 1
}

// poll is a position that covers everything that was committed until a time.
type poll struct {
	at time.Time
	to Position
}

// Gap is a time in which a database was not read, or not all of it was kept.
type Gap struct {
	Leg         parallax.Leg
	Database    string
	From, Until time.Time // Until is zero while it lasts
	Why         string
}

var _ Sink = (*source)(nil)

// Add makes the joiner read a database of a leg. The name tells it from the leg's
// others, and has no secrets in it. Until its reader says otherwise it is in a gap.
func (j *Joiner) Add(leg parallax.Leg, name string, reader Reader) {
	s := &source{joiner: j, leg: leg, name: name, reader: reader, since: j.cfg.Now(), ids: map[string]bool{}}
	s.gaps = []Gap{{Leg: leg, Database: name, From: s.since, Why: "reading has not begun"}}
	j.sources = append(j.sources, s)
}

// Passed implements [Sink].
func (s *source) Passed(p Position) {
	j := s.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	s.passed = p
	if s.cover() { // Most commits lie between two positions that were asked for.
		j.settled(j.cfg.Now())
	}
}

// cover notes up to when everything is read, and reports whether that is news.
func (s *source) cover() bool {
	n := 0
	for n < len(s.polls) && s.polls[n].to <= s.passed {
		s.covered = later(s.covered, s.polls[n].at)
		n++
	}
	s.polls = slices.Delete(s.polls, 0, n)
	if n > 0 || len(s.polls) == 0 {
		s.joiner.showLag(s.leg)
	}
	return n > 0
}

// showLag shows how far the slowest of a leg's databases is behind, and nothing while one
// of them is not read.
func (j *Joiner) showLag(leg parallax.Leg) {
	worst := time.Duration(0)
	for _, s := range j.sources {
		if s.leg != leg {
			continue
		}
		lag := s.lag()
		if lag < 0 {
			j.cfg.Metrics.noLag(j.cfg.Service, leg)
			return
		}
		worst = max(worst, lag)
	}
	j.cfg.Metrics.lag(j.cfg.Service, leg, worst)
}

// lag is how long the oldest position that was asked for is not passed, -1 if nobody
// knows.
func (s *source) lag() time.Duration {
	switch {
	case len(s.polls) > 0:
		return s.joiner.cfg.Now().Sub(s.polls[0].at)
	case s.gapped():
		return -1
	}
	return 0
}

// gapped reports whether nothing is read at the moment.
func (s *source) gapped() bool {
	return len(s.gaps) > 0 && slices.ContainsFunc(s.gaps, func(g Gap) bool { return g.Until.IsZero() })
}

// Gap implements [Sink].
func (s *source) Gap(from, until time.Time, why string) {
	j := s.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	g := Gap{Leg: s.leg, Database: s.name, From: from, Until: until, Why: why}
	open := slices.IndexFunc(s.gaps, func(g Gap) bool { return g.Until.IsZero() })
	if open >= 0 {
		if s.gaps[open].From.Before(from) {
			g.From = s.gaps[open].From
		}
		s.gaps[open] = g
	} else {
		s.addGap(g)
		j.cfg.Metrics.gap(j.cfg.Service, s.leg)
	}
	// Positions of before may mean nothing in the log that is read from now on.
	s.polls, s.passed = nil, 0
	s.era++
	j.showLag(s.leg)
	j.counts.gap(g)
	j.settled(j.cfg.Now())
}

// addGap notes a gap.
func (s *source) addGap(g Gap) {
	if len(s.gaps) >= maxGaps {
		s.gaps[1].From = s.gaps[0].From
		s.gaps = slices.Delete(s.gaps, 0, 1)
		s.dropped = max(s.dropped-1, 0)
	}
	s.gaps = append(s.gaps, g)
}

// lost notes that a commit was forgotten before its exchange came.
func (s *source) lost(e *entry) {
	from := e.seen
	if e.tx.At.Before(from) {
		from = e.tx.At
	}
	if s.dropped > 0 {
		if g := &s.gaps[s.dropped-1]; from.Sub(g.Until) < time.Second {
			g.Until = later(g.Until, e.seen)
			return
		}
	}
	s.addGap(Gap{Leg: s.leg, Database: s.name, From: from, Until: later(from, e.seen), Why: "more was committed than effects.log.memory holds"})
	s.dropped = len(s.gaps)
	s.joiner.cfg.Metrics.gap(s.joiner.cfg.Service, s.leg)
	s.joiner.counts.gap(s.gaps[s.dropped-1])
}

// gapIn says why what was committed between two times is not all known; false if it is.
func (s *source) gapIn(from, until time.Time) (string, bool) {
	if from.Before(s.since) {
		return s.name + " was not read: reading has not begun", true
	}
	for _, g := range s.gaps {
		if !g.From.After(until) && (g.Until.IsZero() || !g.Until.Before(from)) {
			return s.name + " was not read: " + g.Why, true
		}
	}
	return "", false
}

// poll asks the database for its position as long as exchanges wait, until ctx ends.
func (s *source) poll(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		at, era, wanted := s.wanted()
		if !wanted {
			continue
		}
		to, err := s.reader.Position(ctx)
		if err != nil {
			continue // Its reader has a gap, or exchanges stop waiting.
		}
		s.asked(poll{at, to}, era)
	}
}

// wanted reports whether a position is to be asked for, at which time and in which log.
func (s *source) wanted() (at time.Time, era int, wanted bool) {
	j := s.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	wanted = (len(j.due)+len(j.overdue)+len(j.shapes.order) > 0 || j.mark.wanted(s)) && len(s.polls) < maxPolls && !s.gapped()
	return j.cfg.Now(), s.era, wanted
}

// asked notes a position that the database told.
func (s *source) asked(p poll, era int) {
	j := s.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	if era != s.era {
		return
	}
	s.polls = append(s.polls, p)
	if !s.cover() {
		s.joiner.showLag(s.leg)
	}
	j.settled(j.cfg.Now())
}
