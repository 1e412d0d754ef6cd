package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Mirror is what a mirror does with the words it hears.
type Mirror interface {
	// Word returns the mirror's word, and whether it is owed: a rollback that Redis has
	// not taken in yet.
	Word() (w Word, owed bool)
	// Hear takes a word of another mirror's in, as Merge says.
	Hear(w Word)
	// Paid says that Redis has taken in what was owed, and as what.
	Paid(owed, now Word)
	// Reached says who else shares the step, or why Redis does not answer.
	Reached(peers []Peer, err error)
}

// lookEvery is how often Redis is asked besides listening.
const lookEvery = time.Second

// Run keeps a mirror up to date until ctx ends, and then returns nil.
func (s *Step) Run(ctx context.Context, m Mirror) error {
	heard := make(chan Word)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		s.listen(ctx, heard)
	}()
	defer func() { <-listening }()
	beat := time.NewTicker(lookEvery)
	defer beat.Stop()
	for {
		s.Look(ctx, m)
		if ctx.Err() != nil {
			s.leave()
			return nil
		}
		select {
		case <-ctx.Done():
		case w := <-heard:
			m.Hear(w) // and looks at once, so that the others see that it was heard
		case <-beat.C:
		}
	}
}

// Look brings a mirror up to date once.
func (s *Step) Look(ctx context.Context, m Mirror) {
	peers, err := s.look(ctx, m)
	if ctx.Err() == nil {
		m.Reached(peers, err)
	}
}

// look pays what is owed, says which word is in force here, hears what Redis holds, and puts
// back what it has lost.
func (s *Step) look(ctx context.Context, m Mirror) ([]Peer, error) {
	if w, owed := m.Word(); owed {
		now, err := s.Overrule(ctx, w)
		if err != nil {
			return nil, err
		}
		m.Paid(w, now)
	}
	mine, _ := m.Word()
	held, there, peers, err := s.meet(ctx, s.store.name, mine.Version)
	if err != nil {
		return nil, err
	}
	if outOfReach(mine, held) {
		return nil, fmt.Errorf("the step in redis has version %d, which is out of reach from here: roll back, or remove the key %q", held.Version, s.key)
	}
	if there && (held.Version > mine.Version || torn(mine, held)) {
		m.Hear(held)
		mine, _ = m.Word()
		_, _, peers, err = s.meet(ctx, s.store.name, mine.Version)
	} else if mine.Version > held.Version {
		err = s.PutBack(ctx, mine)
	}
	return peers, err
}

// How long what listens waits.
const (
	listenAgain = 100 * time.Millisecond // to listen again after a failure; twice as long each time,
	listenMost  = 3 * time.Second        // up to this
	silence     = 3 * time.Second        // for a message, before Redis is asked whether it is there
)

// listen passes on what is told until ctx ends. What is told while it does not listen is found
// by looking.
func (s *Step) listen(ctx context.Context, heard chan<- Word) {
	for pause := listenAgain; ctx.Err() == nil; pause = min(2*pause, listenMost) {
		if s.listenOnce(ctx, heard) {
			pause = listenAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// listenOnce listens until it fails, and reports whether Redis took it in before.
func (s *Step) listenOnce(ctx context.Context, heard chan<- Word) (taken bool) {
	channel := s.store.client.Subscribe(ctx, s.key)
	defer channel.Close()
	defer context.AfterFunc(ctx, func() { channel.Close() })() // ends what is waited for
	for asked := false; ; {
		message, err := channel.ReceiveTimeout(ctx, silence)
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() && !asked {
			asked, err = true, channel.Ping(ctx)
		} else {
			asked = false
		}
		if err != nil {
			return taken
		}
		switch message := message.(type) {
		case *redis.Subscription:
			taken = true
		case *redis.Message:
			pass(ctx, message.Payload, heard)
		}
	}
}

// pass passes on a word that was told.
func pass(ctx context.Context, told string, heard chan<- Word) {
	version, text, _ := strings.Cut(told, " ")
	w, err := parseWord(version, text)
	if err != nil {
		return // not one of ours: looking will say what is wrong
	}
	select {
	case heard <- w:
	case <-ctx.Done():
	}
}

// maxWord is how many bytes of a word are read.
const maxWord = 64 << 10

func parseWord(version, text string) (w Word, err error) {
	if len(text) > maxWord {
		return Word{}, fmt.Errorf("cannot read the step from redis: its word has %d bytes", len(text))
	}
	if err = json.Unmarshal([]byte(text), &w); err != nil {
		return Word{}, fmt.Errorf("cannot read the step from redis: %w", err)
	}
	if w.Step < 0 || w.Step > 10_000 {
		return Word{}, fmt.Errorf("cannot read the step from redis: %d is not in 0..10000", w.Step)
	}
	w.Trail = w.Trail[:min(len(w.Trail), maxTrail)]
	w.Version, err = parseVersion(version)
	return w, err
}
