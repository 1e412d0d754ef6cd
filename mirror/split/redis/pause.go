package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Pause is whether mirroring of a service is paused wherever it is mirrored, on a person's
// word. Of two the one with the higher version holds; of two of one version, which were said
// without knowing of each other, the one that pauses.
type Pause struct {
	Version uint64    `json:"-"`
	Paused  bool      `json:"paused"`
	Who     string    `json:"who"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Switch is the pause of mirroring of one service as processes share it. Whoever shares it
// looks once a second.
type Switch struct {
	store *Store
	key   string
}

// Switch returns the switch of a service.
func (s *Store) Switch(service string) *Switch {
	return &Switch{s, s.cfg.Prefix + service + ":mirroring"}
}

// turn takes a pause in: as the newest of all, or with its version if that is higher than what
// there is. It returns the version that stands then. ARGV: the pause, its version, its mode.
const turn = `
local held = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
local version = tonumber(ARGV[2])
if ARGV[3] == 'newest' then
  version = math.max(held, version) + 1
elseif version <= held then
  return string.format('%.0f', held)
end
redis.call('HSET', KEYS[1], 'version', string.format('%.0f', version), 'word', ARGV[1])
return string.format('%.0f', version)`

// Set makes a pause, or its end, the newest of all, and returns its version.
func (s *Switch) Set(ctx context.Context, p Pause) (uint64, error) { return s.turn(ctx, p, "newest") }

// PutBack sets a pause, or its end, with its version, if Redis has an older one or none.
func (s *Switch) PutBack(ctx context.Context, p Pause) error {
	_, err := s.turn(ctx, p, "keep")
	return err
}

func (s *Switch) turn(ctx context.Context, p Pause, mode string) (uint64, error) {
	if p.Version >= maxVersion {
		return 0, fmt.Errorf("cannot share the pause of mirroring in redis: version %d cannot be", p.Version)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return 0, fmt.Errorf("cannot share the pause of mirroring in redis: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.store.cfg.Timeout)
	defer cancel()
	answer, err := s.store.client.Eval(ctx, turn, []string{s.key}, text, p.Version, mode).Text()
	if err != nil {
		return 0, fmt.Errorf("cannot share the pause of mirroring in redis: %w", err)
	}
	return parseVersion(answer)
}

// Look says which version is in force here, and returns what Redis holds, whether it holds
// anything, and who else shares it.
func (s *Switch) Look(ctx context.Context, version uint64) (held Pause, there bool, peers []Peer, err error) {
	at, text, there, peers, err := s.store.meet(ctx, s.key, s.store.name, version)
	if err != nil || !there {
		return held, false, peers, err
	}
	if len(text) > maxWord {
		return held, false, peers, fmt.Errorf("cannot read the pause of mirroring from redis: it has %d bytes", len(text))
	}
	if err = json.Unmarshal([]byte(text), &held); err != nil {
		return Pause{}, false, peers, fmt.Errorf("cannot read the pause of mirroring from redis: %w", err)
	}
	held.Version, err = parseVersion(at)
	return held, err == nil, peers, err
}

// Leave says that this process is gone.
func (s *Switch) Leave() { s.store.leave(s.key) }
