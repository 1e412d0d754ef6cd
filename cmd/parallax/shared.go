package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax/internal/ids"
	"parallax/internal/ids/redis"
	"parallax/internal/yamlstrict"
	"parallax/mirror/redisqueue"
	splitredis "parallax/mirror/split/redis"
	"parallax/ui"
)

// sharedLag is how long a value that another mirror's answer made up may take to be
// in Redis: that mirror reads the answer first. A shadow request that names a value
// nobody knows waits for so long.
const sharedLag = 50 * time.Millisecond

// openIdentifiers lets mirrors share identifiers, if that is configured. Redis is
// not waited for.
func (s *server) openIdentifiers(secrets keys) (err error) {
	if s.cfg.Identifiers.URL == "" {
		return nil
	}
	if s.shared, err = redis.Open(s.cfg.Identifiers, secrets.shared, s.log); err != nil {
		return err
	}
	s.deps.IDs = func(service string, dropped func(reason string)) ids.Map { return s.shared.Map(service, dropped) }
	s.deps.IDsLag = sharedLag
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "parallax_identifiers_redis_up",
		Help: "1 while Redis has the identifiers that mirrors share, 0 while it is away and exchanges that name one are not comparable.",
	}, func() float64 {
		if s.shared.Err() != nil {
			return 0
		}
		return 1
	}))
	return nil
}

// shareIdentifiers looks after the Redis that mirrors share.
func (s *server) shareIdentifiers(ctx context.Context) error {
	if s.shared == nil {
		return nil
	}
	return s.shared.Run(ctx)
}

// identifiersStatus says how the Redis that mirrors share is doing.
func (s *server) identifiersStatus() ui.Dependency {
	d := ui.Dependency{Name: "identifiers", OK: true, Detail: "shared in redis"}
	if err := s.shared.Err(); err != nil {
		d.OK, d.Detail = false, err.Error()
	}
	return d
}

// checkQueue asks the Redis that the queue is in, unless its part has faults already.
func checkQueue(ctx context.Context, file string, c Config, before []yamlstrict.Fault) []yamlstrict.Fault {
	const at = "queue"
	if c.Queue.URL == "" || slices.ContainsFunc(before, func(f yamlstrict.Fault) bool { return inside(f.Path, at) }) {
		return nil
	}
	queue, err := redisqueue.Open(c.Queue.Config, redisqueue.Deps{Key: make([]byte, 32)})
	if err == nil {
		defer queue.Shut()
		err = queue.Check(ctx)
	}
	if err == nil {
		return nil
	}
	return []yamlstrict.Fault{{File: file, Path: at + ".redis", Text: err.Error(), Hint: "start it, or correct the address or the password; without it Parallax serves, and nothing is compared"}}
}

// checkSteps asks the Redis that steps are shared in, unless its part has faults already.
func checkSteps(ctx context.Context, file string, c Config, before []yamlstrict.Fault) []yamlstrict.Fault {
	const at = "steps"
	if c.Steps.URL == "" || slices.ContainsFunc(before, func(f yamlstrict.Fault) bool { return inside(f.Path, at) }) {
		return nil
	}
	store, err := splitredis.Open(c.Steps, "check")
	if err == nil {
		defer store.Close()
		err = store.Check(ctx)
	}
	if err == nil {
		return nil
	}
	return []yamlstrict.Fault{{File: file, Path: at + ".redis", Text: err.Error(), Hint: "start it, or correct the address or the password; without it Parallax serves, and no step can be raised"}}
}

// checkRedis asks the Redis of a configuration, unless its part has faults already.
func checkRedis(ctx context.Context, file string, c Config, before []yamlstrict.Fault) (advice []string, faults []yamlstrict.Fault) {
	const at = "identifiers"
	if c.Identifiers.URL == "" {
		return nil, nil
	}
	for _, f := range before {
		if inside(f.Path, at) || inside(f.Path, "keys") {
			return nil, nil
		}
	}
	fault := func(path string, err error, hint string) (_ []string, _ []yamlstrict.Fault) {
		return nil, []yamlstrict.Fault{{File: file, Path: path, Text: err.Error(), Hint: hint}}
	}
	secret, err := readSecret(c.Keys)
	known := !errors.Is(err, fs.ErrNotExist)
	if !known {
		secret, err = make([]byte, 32), nil
	}
	if err != nil {
		return fault("keys", err, "")
	}
	secrets, err := deriveKeys(secret)
	if err != nil {
		return fault("keys", err, "")
	}
	store, err := redis.Open(c.Identifiers, secrets.shared, slog.New(slog.DiscardHandler))
	if err != nil {
		return fault(at+".redis", err, "")
	}
	defer store.Close()
	advice, err = store.Check(ctx)
	if errors.Is(err, redis.ErrOtherKeys) && !known {
		return fault("keys", fmt.Errorf("there is no file %s, and other mirrors share identifiers already", c.Keys), "copy theirs")
	}
	if err != nil {
		return fault(at+".redis", err, "start it, or correct the address or the password; without it Parallax serves, and compares nothing that names an identifier")
	}
	if !known {
		advice = append(advice, fmt.Sprintf("there is no file %s yet; one is made at the first start, and all mirrors need the same", c.Keys))
	}
	return advice, nil
}
