// Package redis shares the step of a service between mirrors through Redis.
//
// One key holds a [Word]. It is written by a script that compares first, and
// published, so that the other mirrors have it at once; each of them looks every
// second besides, as what is published may be lost. A mirror that cannot reach Redis
// keeps its last word, and takes a rollback alone: that is in force here at once, and
// told as soon as Redis answers. A step cannot be set there, as nobody would follow.
//
// A Redis that has lost its memory is told the newest word by whoever has it.
//
// A rollback carries the time of the clock of its mirror, so that it also wins over steps
// of before it that a Redis without memory is told later. Clocks should agree to a second.
package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// lookEvery is how often a mirror looks at what stands in Redis.
const lookEvery = time.Second

// Config is what a [Step] needs.
type Config struct {
	Client  *redis.Client
	Key     string        // of the word, and the channel it is published on
	Timeout time.Duration // for one question to Redis

	Held Word // what this mirror knows from before
	// Take writes a word to disk and puts it in force. It is called for one word after
	// the other, each newer than the one before or the same without Owed, and again
	// after an error.
	Take func(Word) error

	Now func() time.Time
	Log *slog.Logger
}

// Step is the step of one service, shared. Its methods may be called from many
// goroutines.
type Step struct {
	cfg Config

	mu     sync.Mutex // guards what follows; held while a word is taken, never while Redis is asked
	held   Word
	known  bool // whether Redis was asked at all
	failed error
	since  time.Time
}

// New returns the step as cfg.Held says. It asks nobody.
func New(cfg Config) *Step { return &Step{cfg: cfg, held: cfg.Held, since: cfg.Now()} }

// State says how a mirror stands with the others.
type State string

// The states.
const (
	Asking State = "asking" // Redis has not been asked yet
	Shared State = "shared" // what is in force here stands in Redis
	Away   State = "away"   // Redis cannot be asked; the last word holds
	Owed   State = "owed"   // the same, and the other mirrors have not been told of a rollback
)

// Status is how the step of a service is shared.
type Status struct {
	State   State
	Since   time.Time // when Redis began to answer, or not to
	Version uint64    // of the word that is in force here
	Error   string    // why Redis cannot be asked, "" while it can
}

// Status says how the step is shared.
func (s *Step) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{State: Shared, Since: s.since, Version: s.held.Number}
	if s.failed != nil {
		out.State, out.Error = Away, s.failed.Error()
	}
	switch {
	case s.held.Owed:
		out.State = Owed
	case !s.known:
		out.State = Asking
	}
	return out
}

// Word returns the one that is in force here.
func (s *Step) Word() Word {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// What a caller may want to tell apart.
var (
	ErrAway  = errors.New("the step is not set: redis is away, so the other mirrors would not follow; a rollback is possible")
	ErrMoved = errors.New("the step is not set: another mirror has moved it meanwhile")
)

// Set sets a step from the word that is in force here, unless another is in force
// elsewhere by then ([ErrMoved]), or Redis cannot be asked ([ErrAway]). It returns when
// the step is in force here and published.
//
// After [ErrAway] Redis may have the step nevertheless, when only its answer was lost.
// Then all mirrors come to hold it, this one too.
func (s *Step) Set(ctx context.Context, by Word) error {
	base := s.Word()
	if base.Owed {
		return ErrAway
	}
	wanted := base.follows(by, rand.Text())
	got, err := s.ask(context.WithoutCancel(ctx), "set", wanted, base)
	if err != nil {
		s.note(err)
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	if err = s.adopt(got); err == nil && got.ID != wanted.ID {
		return ErrMoved
	}
	return err
}

// Rollback puts step 0 in force here and then tells Redis. A [Status] of [Owed]
// afterwards says that the other mirrors have not been told: [Step.Run] tells them as
// soon as it can. The error is that of Config.Take.
func (s *Step) Rollback(ctx context.Context, by Word) error {
	s.mu.Lock()
	s.held = s.held.back(by, rand.Text())
	err := s.cfg.Take(s.held)
	s.mu.Unlock()
	s.Look(context.WithoutCancel(ctx))
	return err
}

// Run follows what other mirrors set, and tells what is owed, until ctx ends. It
// returns nil.
func (s *Step) Run(ctx context.Context) error {
	heard := s.cfg.Client.Subscribe(ctx, s.cfg.Key)
	defer heard.Close()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	messages := heard.Channel()
	s.Look(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m, open := <-messages:
			if !open {
				messages = nil // the connection is closed; looking goes on
				continue
			}
			if w, err := readWord(m.Payload); err == nil {
				_ = s.adopt(w) // what cannot be taken is tried again at the next look, which notes why
			}
		case <-look.C:
			s.Look(ctx)
		}
	}
}

// Look asks Redis once, as [Step.Run] does every second: it tells Redis what is owed, or newer than what stands there, and takes what is newer.
func (s *Step) Look(ctx context.Context) {
	held := s.Word()
	mode := "offer"
	if held.Owed {
		mode = "owe"
	}
	got, err := s.ask(ctx, mode, held, held)
	if err == nil {
		err = s.adopt(got)
	}
	if err == nil || ctx.Err() == nil {
		s.note(err)
	}
}

// adopt takes a word if it is newer than that which is in force. An owed rollback ends
// by a word that knows it: until then nothing else is taken, as it will win.
func (s *Step) adopt(w Word) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.held.Owed && w.Back == s.held.Back
	if s.held.Owed && !told || !told && !w.NewerThan(s.held) {
		return nil
	}
	if err := s.cfg.Take(w); err != nil {
		return err
	}
	s.held = w
	return nil
}

// note keeps how Redis answered. The log has changes only.
func (s *Step) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := !s.known || (err == nil) != (s.failed == nil)
	s.known, s.failed = true, err
	if !changed {
		return
	}
	s.since = s.cfg.Now()
	if err != nil {
		s.cfg.Log.Warn("the step is not shared: this mirror keeps its last word until redis answers", "key", s.cfg.Key, "step", s.held.Step, "version", s.held.Number, "error", err)
		return
	}
	s.cfg.Log.Info("the step is shared through redis", "key", s.cfg.Key, "step", s.held.Step, "version", s.held.Number)
}

// put writes a word if it may stand, publishes it, and returns what stands then, empty
// for nothing. ARGV: how, the word, and the one that it began from.
//
//	set    stands unless there is a newer word than it began from
//	offer  stands if it is newer than what there is
//	owe    is a rollback that stands unless it was told already
var put = redis.NewScript(`
local function newer(a, b)
  if a.epoch ~= b.epoch then return a.epoch > b.epoch end
  if a.version ~= b.version then return a.version > b.version end
  if a.step ~= b.step then return a.step < b.step end
  return a.id > b.id
end
local text = redis.call('GET', KEYS[1])
local held = text and cjson.decode(text)
local word, base = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
if ARGV[1] == 'owe' then
  if held and held.back == word.back then return text end
  if held and held.epoch >= word.epoch then word.epoch = held.epoch + 1 end
  if held and held.version >= word.version then word.version = held.version + 1 end
elseif ARGV[1] == 'set' then
  if held and newer(held, base) then return text end
elseif word.version == 0 or held and not newer(word, held) then
  return text or ''
end
word.owed = nil
text = cjson.encode(word)
redis.call('SET', KEYS[1], text)
redis.call('PUBLISH', KEYS[1], text)
return text`)

// ask has the script run, and returns what stands in Redis.
func (s *Step) ask(ctx context.Context, how string, w, base Word) (Word, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return Word{}, fmt.Errorf("cannot write the step down: %w", err)
	}
	from, err := json.Marshal(base)
	if err != nil {
		return Word{}, fmt.Errorf("cannot write the step down: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	got, err := put.Run(ctx, s.cfg.Client, []string{s.cfg.Key}, how, text, from).Text()
	if err != nil {
		return Word{}, fmt.Errorf("cannot share the step through redis: %w", err)
	}
	if got == "" {
		return Word{}, nil
	}
	return readWord(got)
}
