package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// stream is the stream in Redis and what belongs to it. Scripts change several keys at once,
// so that their figures agree.
type stream struct {
	client *redis.Client
	prefix string // in braces, so that a cluster keeps the keys together
	name   string // of this consumer
}

// group is the one consumer group.
const group = "workers"

// Keys. The hash meta has bytes: of all entries; seq: how many scripts have changed it. The hash
// cells has how many entries there are of each cell, and the hash ids which exchanges there are.
func (s *stream) entries() string { return s.prefix + "exchanges" }
func (s *stream) meta() string    { return s.prefix + "meta" }
func (s *stream) cells() string   { return s.prefix + "cells" }
func (s *stream) ids() string     { return s.prefix + "ids" }
func (s *stream) dead() string    { return s.prefix + "dead" }

func (s *stream) keys() []string { return []string{s.entries(), s.meta(), s.cells(), s.ids()} }

// fill is how full the stream is, as of its seq-th change.
type fill struct {
	seq, count, bytes int64
}

// addScript adds entries, ARGV[3] and on: text, tag and waited by turns, as long as there is room
// for ARGV[1] entries and ARGV[2] bytes. What is there already counts as added: whoever adds it
// did not hear that it was. It returns how many it took, and the fill.
var addScript = redis.NewScript(`
local count = redis.call('XLEN', KEYS[1])
local bytes = 0
if count > 0 then bytes = tonumber(redis.call('HGET', KEYS[2], 'bytes') or '0') or 0 else redis.call('DEL', KEYS[3], KEYS[4]) end
local took = 0
for i = 3, #ARGV, 3 do
  local size, tag = string.len(ARGV[i]), ARGV[i+1]
  if redis.call('HEXISTS', KEYS[4], string.sub(tag, -36)) == 0 then
    if count >= tonumber(ARGV[1]) or bytes + size > tonumber(ARGV[2]) then break end
    redis.call('XADD', KEYS[1], '*', 'x', ARGV[i], 't', tag, 'w', ARGV[i+2])
    redis.call('HINCRBY', KEYS[3], string.sub(tag, 1, -38), 1)
    redis.call('HSET', KEYS[4], string.sub(tag, -36), 1)
    count, bytes = count + 1, bytes + size
  end
  took = took + 1
end
redis.call('HSET', KEYS[2], 'bytes', bytes)
return {took, redis.call('HINCRBY', KEYS[2], 'seq', 1), count, bytes}`)

// entry is one exchange as it stands in the stream.
type entry struct {
	id         string // of the stream
	text, tag  string
	size       int   // of the text, in bytes, also when that is not kept
	waited     bool  // on disk, so that it may be in the stream twice
	deliveries int64 // this one included; 0: the first
}

// add adds entries in their order and returns how many there was room for.
func (s *stream) add(ctx context.Context, maxCount int, maxBytes int64, list []entry) (int, fill, error) {
	args := make([]any, 0, 2+3*len(list))
	args = append(args, maxCount, maxBytes)
	for _, e := range list {
		args = append(args, e.text, e.tag, e.waited)
	}
	n, f, err := s.run(ctx, addScript, args)
	if err != nil {
		return 0, f, fmt.Errorf("cannot add to the queue in redis: %w", err)
	}
	return int(n), f, nil
}

// dropScript acknowledges entries and removes them, ARGV: id, bytes and tag by turns. What is
// not there any more changes nothing.
var dropScript = redis.NewScript(`
local dropped = 0
for i = 1, #ARGV, 3 do
  redis.call('XACK', KEYS[1], '` + group + `', ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    dropped = dropped + 1
    redis.call('HINCRBY', KEYS[2], 'bytes', -tonumber(ARGV[i+1]))
    local cell = string.sub(ARGV[i+2], 1, -38)
    if redis.call('HINCRBY', KEYS[3], cell, -1) <= 0 then redis.call('HDEL', KEYS[3], cell) end
    redis.call('HDEL', KEYS[4], string.sub(ARGV[i+2], -36))
  end
end
local count = redis.call('XLEN', KEYS[1])
if count == 0 then redis.call('DEL', KEYS[3], KEYS[4]); redis.call('HSET', KEYS[2], 'bytes', 0) end
return {dropped, redis.call('HINCRBY', KEYS[2], 'seq', 1), count, tonumber(redis.call('HGET', KEYS[2], 'bytes') or '0') or 0}`)

// drop acknowledges entries and removes them, and returns how many were there.
func (s *stream) drop(ctx context.Context, list []entry) (int64, fill, error) {
	args := make([]any, 0, 3*len(list))
	for _, e := range list {
		args = append(args, e.id, e.size, e.tag)
	}
	n, f, err := s.run(ctx, dropScript, args)
	if err != nil {
		return 0, f, fmt.Errorf("cannot acknowledge in redis: %w", err)
	}
	return n, f, nil
}

// look returns the fill.
func (s *stream) look(ctx context.Context) (fill, error) {
	_, f, err := s.run(ctx, dropScript, nil)
	return f, err
}

func (s *stream) run(ctx context.Context, script *redis.Script, args []any) (n int64, f fill, err error) {
	list, err := script.Run(ctx, s.client, s.keys(), args...).Int64Slice()
	switch {
	case err != nil:
		return 0, f, err
	case len(list) != 4:
		return 0, f, fmt.Errorf("redis answered %d numbers, not 4", len(list))
	}
	return list[0], fill{seq: list[1], count: list[2], bytes: list[3]}, nil
}

// read waits for entries that nobody was given yet, at most for block, which Redis takes to
// the millisecond.
func (s *stream) read(ctx context.Context, max int, block time.Duration) ([]entry, error) {
	got, err := s.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: s.name, Streams: []string{s.entries(), ">"}, Count: int64(max), Block: block,
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case noGroup(err):
		return nil, s.makeGroup(ctx)
	case err != nil:
		return nil, fmt.Errorf("cannot read the queue in redis: %w", err)
	}
	var out []entry
	for _, st := range got {
		out = append(out, entries(st.Messages)...)
	}
	return out, nil
}

func entries(list []redis.XMessage) []entry {
	out := make([]entry, len(list))
	for i, m := range list {
		text, _ := m.Values["x"].(string)
		tag, _ := m.Values["t"].(string)
		waited, _ := m.Values["w"].(string)
		out[i] = entry{id: m.ID, text: text, tag: tag, size: len(text), waited: waited == "1"}
	}
	return out
}

func noGroup(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOGROUP") }

// makeGroup makes the group, which reads from the stream's begin.
func (s *stream) makeGroup(ctx context.Context) error {
	err := s.client.XGroupCreateMkStream(ctx, s.entries(), group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("cannot make the group of workers in redis: %w", err)
	}
	return nil
}

// stale lists entries of which their holders have said nothing for a while, the oldest first.
func (s *stream) stale(ctx context.Context, silent time.Duration, max int) ([]redis.XPendingExt, error) {
	list, err := s.client.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: s.entries(), Group: group, Idle: silent, Start: "-", End: "+", Count: int64(max)}).Result()
	if noGroup(err) {
		return nil, s.makeGroup(ctx)
	}
	return list, err
}

// claim takes entries over, of which their holders still have said nothing. Those that were
// taken over meanwhile, or are there no more, are not among the ones it returns.
func (s *stream) claim(ctx context.Context, silent time.Duration, list []redis.XPendingExt) ([]entry, error) {
	ids, deliveries := make([]string, len(list)), map[string]int64{}
	for i, p := range list {
		ids[i], deliveries[p.ID] = p.ID, p.RetryCount+1
	}
	got, err := s.client.XClaim(ctx, &redis.XClaimArgs{Stream: s.entries(), Group: group, Consumer: s.name, MinIdle: silent, Messages: ids}).Result()
	out := entries(got)
	for i := range out {
		out[i].deliveries = deliveries[out[i].id]
	}
	return out, err
}

// holdScript says that consumer ARGV[1] was heard of about the entries of the ids from ARGV[3] on,
// so many milliseconds ago as ARGV[2] says. Those that another has taken over stay with it.
var holdScript = redis.NewScript(`
local mine = {'XCLAIM', KEYS[1], '` + group + `', ARGV[1], 0}
for i = 3, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], '` + group + `', ARGV[i], ARGV[i], 1)
  if p[1] and p[1][2] == ARGV[1] then mine[#mine + 1] = ARGV[i] end
end
if #mine == 5 then return 0 end
mine[#mine + 1] = 'IDLE'
mine[#mine + 1] = ARGV[2]
mine[#mine + 1] = 'JUSTID'
redis.call(unpack(mine))
return #mine - 8`)

// hold says that this consumer still has entries, or had them until a while ago.
func (s *stream) hold(ctx context.Context, ids []string, ago time.Duration) error {
	args := make([]any, 0, 2+len(ids))
	args = append(args, s.name, ago.Milliseconds())
	for _, id := range ids {
		args = append(args, id)
	}
	err := holdScript.Run(ctx, s.client, s.keys(), args...).Err()
	if noGroup(err) {
		return s.makeGroup(ctx)
	}
	return err
}

// forget removes consumers that have nothing and were not heard of for a while.
func (s *stream) forget(ctx context.Context, silent time.Duration) error {
	list, err := s.client.XInfoConsumers(ctx, s.entries(), group).Result()
	for _, c := range list {
		if c.Pending == 0 && c.Idle > silent && c.Name != s.name {
			err = errors.Join(err, s.client.XGroupDelConsumer(ctx, s.entries(), group, c.Name).Err())
		}
	}
	if noGroup(err) || err != nil && strings.HasPrefix(err.Error(), "ERR no such key") {
		return nil
	}
	return err
}

// bury copies an entry to the dead letters.
func (s *stream) bury(ctx context.Context, e entry, why string) error {
	return s.client.XAdd(ctx, &redis.XAddArgs{
		Stream: s.dead(), MaxLen: maxDead, Approx: true,
		Values: []any{"x", e.text, "t", e.tag, "id", e.id, "deliveries", e.deliveries, "error", why},
	}).Err()
}

// check says what is wrong with the Redis, if something is.
func (s *stream) check(ctx context.Context) error {
	kept, err := s.client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		if ping := s.client.Ping(ctx).Err(); ping != nil {
			return fmt.Errorf("cannot reach the queue in redis: %w", ping)
		}
		return nil // it does not say: a service that hides its configuration
	}
	if policy := kept["maxmemory-policy"]; policy != "noeviction" {
		return fmt.Errorf("redis has maxmemory-policy %s, which drops what waits to be compared: set noeviction", policy)
	}
	return nil
}

// left returns how many exchanges are in the stream, by cell.
func (s *stream) left(ctx context.Context) (map[string]int64, error) {
	got, err := s.client.HGetAll(ctx, s.cells()).Result()
	out := make(map[string]int64, len(got))
	for cell, text := range got {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
			out[cell] = n
		}
	}
	return out, err
}
