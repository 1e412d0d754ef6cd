package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"parallax/mirror"
	splitredis "parallax/mirror/split/redis"
	"parallax/reports"
	"parallax/ui"
)

// sharedPause is the pause of mirroring of one service as processes share it.
type sharedPause struct {
	sw    *splitredis.Switch
	talk  sync.Mutex             // one word of this process at a time, so that a pause is not told after its end
	away  atomic.Pointer[outage] // nil while Redis answers
	peers atomic.Pointer[[]splitredis.Peer]
}

const (
	lookAtPause = time.Second            // between two looks
	followTime  = 3 * time.Second        // for the others to follow
	followAgain = 100 * time.Millisecond // between two looks at whether they did
)

// listen keeps the pause what processes agree on until the context ends.
func (m *mirroring) listen(ctx context.Context) error {
	if m.shared == nil {
		<-ctx.Done()
		return nil
	}
	beat := time.NewTicker(lookAtPause)
	defer beat.Stop()
	for {
		m.look(ctx)
		select {
		case <-ctx.Done():
			m.shared.sw.Leave()
			return nil
		case <-beat.C:
		}
	}
}

// look tells what is owed, hears what the others say, and keeps whether they could be heard.
func (m *mirroring) look(ctx context.Context) {
	peers, err := m.agree(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		m.shared.away.Store(nil)
		m.shared.peers.Store(&peers)
		return
	}
	if since := m.shared.away.Load(); since != nil {
		m.shared.away.Store(&outage{err, since.since})
		return
	}
	m.shared.away.Store(&outage{err, m.now().UTC()})
}

// agree asks no longer than Redis may take, and holds no lock meanwhile: whoever pauses is in
// a hurry.
func (m *mirroring) agree(ctx context.Context) ([]splitredis.Peer, error) {
	if err := m.pay(ctx); err != nil {
		return nil, err
	}
	mine := m.file.State()
	held, there, peers, err := m.shared.sw.Look(ctx, mine.MirroringVersion)
	switch {
	case err != nil:
		return nil, err
	case there && held.Version > mine.MirroringVersion:
		if err := m.heed(held); err != nil {
			return nil, err
		}
		_, _, peers, err = m.shared.sw.Look(ctx, m.file.State().MirroringVersion)
	case there && held.Version == mine.MirroringVersion && mine.Mirroring != nil && !held.Paused:
		err = m.owe(mine.MirroringVersion)
	case mine.MirroringVersion > held.Version: // Redis has lost it
		err = m.shared.sw.PutBack(ctx, pauseOf(mine))
	}
	return peers, err
}

// pauseOf is what others hear of a state.
func pauseOf(s reports.State) splitredis.Pause {
	p := splitredis.Pause{Version: s.MirroringVersion, Paused: s.Mirroring != nil}
	if s.Mirroring != nil {
		p.Who, p.Reason, p.At = s.Mirroring.Who, s.Mirroring.Reason, s.Mirroring.At
	}
	return p
}

// pay tells the others a pause that they have not heard of.
func (m *mirroring) pay(ctx context.Context) error {
	m.shared.talk.Lock()
	defer m.shared.talk.Unlock()
	state := m.file.State()
	if !state.MirroringOwed || state.Mirroring == nil {
		return nil
	}
	version, err := m.shared.sw.Set(ctx, pauseOf(state))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.file.State(); now.Mirroring == nil || !now.Mirroring.At.Equal(state.Mirroring.At) {
		return nil // another word came meanwhile
	}
	return m.file.Update(func(s *reports.State) { s.MirroringVersion, s.MirroringOwed = version, false })
}

// owe has a pause told again: others ended it without knowing of it.
func (m *mirroring) owe(version uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.file.Update(func(s *reports.State) { s.MirroringOwed = s.Mirroring != nil && s.MirroringVersion == version })
}

// heed puts in force what another process said, unless something newer is by now.
func (m *mirroring) heed(held splitredis.Pause) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.file.State(); now.MirroringOwed || now.MirroringVersion >= held.Version {
		return nil
	}
	if !held.Paused {
		m.log.Info("mirroring goes on, as was said at another process", "who", held.Who, "reason", held.Reason)
		return m.end(held.Version)
	}
	m.mirror.Pause(mirror.Pause{By: mirror.ByPerson, Who: held.Who, Reason: held.Reason, At: held.At})
	return m.file.Update(func(s *reports.State) {
		s.Mirroring, s.MirroringVersion = &reports.MirroringPause{Who: held.Who, Reason: held.Reason, At: held.At}, held.Version
	})
}

// resumeAll tells the others that the pause is over, and then ends it here.
func (m *mirroring) resumeAll(ctx context.Context, who, reason string, at time.Time) error {
	m.shared.talk.Lock()
	defer m.shared.talk.Unlock()
	before := m.file.State()
	version, err := m.shared.sw.Set(ctx, splitredis.Pause{Version: before.MirroringVersion, Who: who, Reason: reason, At: at})
	if err != nil {
		return ui.Refusal{Status: http.StatusServiceUnavailable, Word: "redis_away", Text: fmt.Sprintf("the other processes cannot be told, so that the pause goes on: %v", err)}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.file.State(); now.MirroringOwed && !pauseOf(now).At.Equal(pauseOf(before).At) {
		return nil // somebody has paused it again meanwhile, which comes after this
	}
	return m.end(version)
}

// followed waits until everybody who can be heard has followed, or should have.
func (m *mirroring) followed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	for {
		m.look(ctx)
		if s := m.sharedState(); !s.Reached || !s.Pending() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(followAgain):
		}
	}
}

// sharedState says how far the last word has come; nil: nobody shares it.
func (m *mirroring) sharedState() *ui.SharedStep {
	if m.shared == nil {
		return nil
	}
	state := m.file.State()
	out := &ui.SharedStep{Version: state.MirroringVersion, Owed: state.MirroringOwed, Reached: true}
	if peers := m.shared.peers.Load(); peers != nil {
		out.Mirrors, out.Behind = len(*peers), splitredis.Behind(*peers, state.MirroringVersion)
	}
	if away := m.shared.away.Load(); away != nil {
		out.Reached, out.Since, out.Error = false, away.since, away.err.Error()
	}
	return out
}
