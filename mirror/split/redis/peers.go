package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Peer is a mirror that shares a step, and was heard of in the last seconds.
type Peer struct {
	Name    string
	Version uint64 // of the word in force there
}

// Behind names the peers where a word of an older version is in force.
func Behind(peers []Peer, version uint64) []string {
	var names []string
	for _, p := range peers {
		if p.Version < version {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// meet says that a mirror is here, unless its name is empty, and returns what there is.
// KEYS: the word, and who shares it. ARGV: name and version of the mirror. Who was not heard
// of for 5 s, by the clock of Redis, is gone; so is who was heard of in times to come, by the
// clock of another Redis before.
const meet = `
local now = tonumber(redis.call('TIME')[1])
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. now)
  redis.call('EXPIRE', KEYS[2], 60)
end
local all, here = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #all, 2 do
  local version, at = string.match(all[i + 1], '^(%d+) (%d+)$')
  if at and math.abs(now - tonumber(at)) <= 5 then
    here[#here + 1] = all[i]
    here[#here + 1] = version
  else
    redis.call('HDEL', KEYS[2], all[i])
  end
end
return {redis.call('HGET', KEYS[1], 'version'), redis.call('HGET', KEYS[1], 'word'), here}`

// meet returns the word that Redis holds, whether there is one, and the other mirrors.
func (s *Step) meet(ctx context.Context, name string, version uint64) (held Word, there bool, peers []Peer, err error) {
	at, text, there, peers, err := s.store.meet(ctx, s.key, name, version)
	if err != nil || !there {
		return held, false, peers, err
	}
	held, err = parseWord(at, text)
	return held, err == nil, peers, err
}

// meet returns the word that Redis holds under a key with its version, and the other mirrors.
func (s *Store) meet(ctx context.Context, key, name string, version uint64) (at, text string, there bool, peers []Peer, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	answer, err := s.client.Eval(ctx, meet, []string{key, key + ":mirrors"}, name, version).Slice()
	if err != nil {
		return "", "", false, nil, fmt.Errorf("cannot read what is shared in redis: %w", err)
	}
	if len(answer) != 3 {
		return "", "", false, nil, errors.New("cannot read what is shared in redis: its answer is none of this script's")
	}
	if peers, err = s.others(answer[2]); err != nil {
		return "", "", false, nil, err
	}
	at, _ = answer[0].(string)
	text, there = answer[1].(string)
	return at, text, there, peers, nil
}

// others reads names and versions by turns, and leaves this mirror out.
func (s *Store) others(answer any) (peers []Peer, err error) {
	list, _ := answer.([]any)
	for pair := range slices.Chunk(list, 2) {
		p := Peer{Name: fmt.Sprint(pair[0])}
		if p.Version, err = parseVersion(fmt.Sprint(pair[len(pair)-1])); err != nil {
			return nil, err
		}
		if p.Name != s.name {
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// Peers returns the other mirrors that share the step.
func (s *Step) Peers(ctx context.Context) ([]Peer, error) {
	_, _, peers, err := s.meet(ctx, "", 0)
	return peers, err
}

// leave says that this mirror is gone; if Redis does not hear it, it will see.
func (s *Step) leave() { s.store.leave(s.key) }

func (s *Store) leave(key string) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	_ = s.client.HDel(ctx, key+":mirrors", s.name).Err()
}

func parseVersion(text string) (uint64, error) {
	version, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || version > maxVersion {
		return 0, fmt.Errorf("cannot read the step from redis: %.20q is no version", text)
	}
	return version, nil
}
