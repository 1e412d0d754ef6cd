package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"parallax/divergence"
	"parallax/mirror/redisqueue"
	"parallax/mirror/replay"
	"parallax/reports"
)

const replayUsage = "replay -c FILE --service S --from FILE|store [--format har|jsonl|log] [--rate 2x|max] [--limit N] [--since T] [--until T] [--dir DIR]"

// replayInFlight is how many replayed requests are under way at a time, or as
// many as mirror.in_flight allows.
const replayInFlight = 32

// replayOptions are the flags of the verb.
type replayOptions struct {
	config, service, from, format, dir string
	factor                             float64 // of the recorded pace; 0: as fast as possible
	limit                              int64
	since, until                       time.Time
}

// runReplay is the verb replay: it asks recorded requests of both versions, and
// compares and reports as serve does. Its evidence is its own: it goes to a store
// in a temporary folder, or in --dir, and never to that of the service, whose
// verdict is about live traffic.
func runReplay(ctx context.Context, e env, args []string) int {
	o, ok, code := parseReplay(e, args)
	if !ok {
		return code
	}
	cfg, faults, err := loadConfig(o.config)
	if err != nil {
		return e.fail("%v", err)
	}
	if len(faults) > 0 {
		printFaults(e.stderr, faults)
		return exitError
	}
	source, err := o.open(ctx, cfg)
	if err != nil {
		return e.fail("%v", err)
	}
	defer source.Close()
	own, remove, err := o.own(cfg)
	if err != nil {
		return e.fail("%v", err)
	}
	defer remove()
	s, err := newServer(own, slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), nil)
	if err != nil {
		return e.fail("%v", err)
	}
	good, err := o.replay(ctx, e, s, source)
	switch {
	case err != nil:
		return e.fail("%v", err)
	case !good:
		return exitNot
	}
	return exitGood
}

func parseReplay(e env, args []string) (o replayOptions, ok bool, code int) {
	set := e.flags("replay", replayUsage)
	set.StringVar(&o.config, "c", "", "configuration `FILE`")
	set.StringVar(&o.service, "service", "", "the service, by its `NAME` in the configuration")
	set.StringVar(&o.from, "from", "", "`FILE`, a recording, or the word store for what the configured store has kept")
	set.StringVar(&o.format, "format", "", "har, jsonl or log; empty: by the file's name")
	set.StringVar(&o.dir, "dir", "", "keep what was compared in `DIR`; empty: only the report remains")
	set.Int64Var(&o.limit, "limit", 0, "replay at most so many requests; 0: all")
	rate := set.String("rate", "1x", "pace: 1x as recorded, 2x twice as fast, max as fast as the legs answer")
	since := set.String("since", "", "leave out what was recorded before `TIME`, such as 2026-11-21T10:00:00Z")
	until := set.String("until", "", "leave out what was recorded at or after `TIME`")
	if ok, code := parse(set, args); !ok {
		return o, false, code
	}
	switch wrong := needsConfig(set, o.config); {
	case wrong != "":
		return o, false, e.misuse(replayUsage, "%s", wrong)
	case o.service == "" || o.from == "":
		return o, false, e.misuse(replayUsage, "replay needs --service, and --from with a recording or the word store")
	case o.limit < 0:
		return o, false, e.fail("cannot replay %d requests; write --limit 0 for all", o.limit)
	}
	var err error
	if o.factor, err = parseRate(*rate); err == nil {
		o.since, err = parseTime("--since", *since)
	}
	if err == nil {
		o.until, err = parseTime("--until", *until)
	}
	if err != nil {
		return o, false, e.fail("%v", err)
	}
	return o, true, exitGood
}

func parseRate(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	factor, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(factor >= 0.001 && factor <= 1e6) {
		return 0, fmt.Errorf("cannot read --rate %q; write a factor from 0.001x to 1000000x such as 1x or 0.5x, or max", text)
	}
	return factor, nil
}

func parseTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("cannot read %s %q; write it like 2026-11-21T10:00:00Z", name, text)
	}
	return at, nil
}

// open opens the recording.
func (o replayOptions) open(ctx context.Context, cfg Config) (replay.Source, error) {
	i := slices.IndexFunc(cfg.Services, func(s ServiceConfig) bool { return s.Name == o.service })
	if i < 0 {
		return nil, fmt.Errorf("there is no service %q in %s", o.service, o.config)
	}
	if o.from == "store" {
		if primary := cfg.Services[i].Primary; len(primary.Rewrite) > 0 || primary.Host != "" && primary.Host != "keep" {
			return nil, fmt.Errorf("cannot replay %s from the store: it has requests as the primary got them, and primary.rewrite or primary.host would change them once more; replay from a file", o.service)
		}
		return openStored(ctx, cfg.Store, o.service, divergence.Window{From: o.since, To: o.until})
	}
	return replay.Open(o.from, o.format)
}

// own is the configuration with nothing but the service, in folders of its own.
// Only the keys are the installation's, so that users and redacted values have
// the same names and other Parallaxes know the shadows.
func (o replayOptions) own(cfg Config) (own Config, remove func(), err error) {
	dir, remove := o.dir, func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "parallax-replay-"); err != nil {
			return own, nil, fmt.Errorf("cannot make a folder for the replay: %w", err)
		}
		remove = func() { _ = os.RemoveAll(dir) } // what is left is in the system's folder for that
	}
	own = defaultConfig()
	own.Keys, own.Queue = cfg.Keys, cfg.Queue
	own.Queue.Config = redisqueue.DefaultConfig() // what it compares is its own
	own.Admin.Listen = "127.0.0.1:0"
	own.Store.Dir, own.StateDir = filepath.Join(dir, "data"), filepath.Join(dir, "state")
	for _, s := range cfg.Services {
		if s.Name == o.service {
			s.Listen = "127.0.0.1:0"
			own.Services = []ServiceConfig{s}
		}
	}
	return own, remove, nil
}

// replay runs a Parallax for as long as the replay takes, and reports.
func (o replayOptions) replay(ctx context.Context, e env, s *server, source replay.Source) (good bool, err error) {
	began := s.now()
	running := background(s.Run)
	defer func() { err = errors.Join(err, running.stop()) }()
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.engine.Ready(ready); err != nil {
		return false, fmt.Errorf("the store of the replay does not start: %w; is the engine installed? (make setup)", err)
	}
	svc := s.current.Load().byName[o.service]
	show := newProgress(e.stderr, source, s.now)
	totals, err := replay.Plan{
		Factor: o.factor, Limit: o.limit, Since: o.since, Until: o.until,
		InFlight: min(replayInFlight, svc.terms.Load().cfg.Mirror.InFlight),
		Now:      s.now, Ask: svc.mirror.Replay, Room: s.queueHasRoom, Skipped: show.skip, Waits: show.waits, Tell: show.tell,
	}.Run(ctx, source)
	show.end(totals)
	if err != nil {
		return false, err
	}
	if totals.Replayed == 0 {
		fmt.Fprintln(e.stdout, account(totals)+"; nothing was replayed, so that there is nothing to report")
		return false, nil
	}
	report, verdict, err := s.settledReport(svc, divergence.Window{From: began.Add(-time.Second)})
	if err != nil {
		return false, err
	}
	fmt.Fprintln(e.stdout, account(totals))
	if err := reports.WriteText(e.stdout, report, verdict); err != nil {
		return false, err
	}
	return ctx.Err() == nil && clean(report.Accounting), ctx.Err()
}

// clean reports whether a replay found nothing: something was compared, all of
// it that could be matched, and nothing was lost.
func clean(a divergence.Accounting) bool {
	for _, n := range a.Lost {
		if n > 0 {
			return false
		}
	}
	return a.Compared["match"] > 0 && a.Compared["diverged"] == 0
}

// account says what became of the recording.
func account(t replay.Totals) string {
	text := fmt.Sprintf("%d requests read, %d replayed", t.Read, t.Replayed)
	for _, reason := range slices.Sorted(maps.Keys(t.Skipped)) {
		text += fmt.Sprintf(", %d skipped: %s", t.Skipped[reason], reason)
	}
	if t.Behind > time.Second {
		text += fmt.Sprintf("; the pace fell behind by up to %s", t.Behind.Round(100*time.Millisecond))
	}
	return text
}

// queueHasRoom waits until the workers have caught up, so that nothing that was
// answered is lost because a replay is faster than they are.
func (s *server) queueHasRoom(ctx context.Context) error {
	for s.queue.Len() > s.cfg.Queue.Exchanges/2 {
		if err := pauseFor(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// settledReport waits until everything is compared and stored, and reports.
func (s *server) settledReport(svc *service, w divergence.Window) (reports.Report, reports.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		held, err := s.recorder.Summary(ctx, svc.name, w)
		if err == nil && held.Accounting.InFlight == 0 {
			verdict := svc.judge.Look(ctx)
			return reports.Build(w, held, verdict), verdict, nil
		}
		if pause := pauseFor(ctx, 50*time.Millisecond); pause != nil {
			return reports.Report{}, reports.Verdict{}, fmt.Errorf("the store did not take everything that was compared: %w", errors.Join(err, pause))
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
