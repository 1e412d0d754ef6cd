package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"parallax"
	"parallax/divergence"
	"parallax/divergence/embedded"
	"parallax/internal/yamlstrict"
	"parallax/mirror"
	"parallax/ui"
)

const serveUsage = "serve -c FILE"

// runServe is the verb serve.
func runServe(ctx context.Context, e env, args []string) int {
	set := e.flags("serve", serveUsage)
	file := set.String("c", "", "configuration `FILE`")
	roles := set.String("roles", "", "not supported yet: one process does everything")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if *file == "" || set.NArg() > 0 {
		set.Usage()
		return exitError
	}
	if *roles != "" {
		return e.fail("serve --roles is not supported yet; leave it out, and one process does everything")
	}
	cfg, faults, err := loadConfig(*file)
	if err != nil {
		return e.fail("%v", err)
	}
	if len(faults) > 0 {
		printFaults(e.stderr, faults)
		return exitError
	}
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	s, err := newServer(cfg, log)
	if err != nil {
		return e.fail("%v", err)
	}
	s.file = *file
	for _, svc := range s.current.Load().services {
		fmt.Fprintf(e.stdout, "%s is served on %s://%s\n", svc.name, svc.terms.Load().cfg.TLS.Scheme(), svc.listener.Addr())
	}
	fmt.Fprintf(e.stdout, "pages, API and metrics are on %s\n", s.AdminURL())
	reloads := background(s.reloadOnSignal)
	defer reloads.stop()
	pauses := background(s.pauseOnSignal)
	defer pauses.stop()
	if err := s.Run(ctx); err != nil {
		return e.fail("%v", err)
	}
	return exitGood
}

func printFaults(w io.Writer, faults []yamlstrict.Fault) {
	for _, f := range faults {
		fmt.Fprintln(w, f.Error())
	}
}

// server is a whole Parallax: everything is built and every listener open when
// newServer returns, nothing runs before Run.
type server struct {
	cfg      Config // as it was at the start; what a reload may change of it is in current
	file     string // where the configuration is read again from
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
	given    *sockets // listeners that were open before this process; nil: none

	current    atomic.Pointer[lineup]
	lastReload atomic.Pointer[ui.Reload]
	mu         sync.Mutex // one reload at a time; guards what follows
	mirrors    *errgroup.Group
	stopping   context.Context // ends when a shutdown begins
	stopped    bool            // no service may be started any more

	deps      mirror.Deps
	redaction []byte // key

	queue    *mirror.MemQueue
	ledger   *divergence.Ledger
	engine   *embedded.Engine // nil with an outside ClickHouse
	store    *divergence.Store
	recorder *divergence.Recorder
	worker   *divergence.Worker

	admin         *ui.Server
	adminListener net.Listener
}

// newServer wires the rooms together, in the order data flows. On an error
// everything that was opened is closed again.
func newServer(cfg Config, log *slog.Logger) (_ *server, err error) {
	s := &server{cfg: cfg, log: log, now: time.Now, registry: prometheus.NewRegistry()}
	s.current.Store(&lineup{})
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	newID := parallax.NewIDSource(s.now, rand.Reader)
	secrets, err := loadKeys(cfg.Keys)
	if err != nil {
		return nil, err
	}
	if err := s.openStore(newID().String()); err != nil {
		return nil, err
	}
	s.queue = mirror.NewMemQueue(cfg.Queue.Exchanges, int64(cfg.Queue.Memory))
	s.redaction = secrets.redaction
	s.deps = mirror.Deps{
		Queue: s.queue, Ledger: s.ledger, Now: s.now, NewID: newID,
		Keys:    mirror.Keys{User: secrets.user, Fleet: secrets.fleet},
		Metrics: mirror.NewMetrics(s.registry), Log: log, Budget: mirror.NewBudget(mirror.DefaultBudget),
	}
	for _, c := range cfg.Services {
		svc, err := s.newService(c)
		if err != nil {
			return nil, err
		}
		s.current.Store(s.current.Load().with(svc))
	}
	s.worker = divergence.NewWorker(divergence.WorkerConfig{
		Source: s.queue, Recorder: s.recorder, Ledger: s.ledger, Log: log, Goroutines: cfg.Queue.Workers, Judge: s.judgeOf,
	})
	return s, s.openAdmin()
}

// openStore opens the store on an outside ClickHouse or on the engine inside,
// and the recorder that writes to it. Neither is waited for.
func (s *server) openStore(instance string) (err error) {
	opts, err := divergence.ParseDSN(s.cfg.Store.ClickHouse)
	if s.cfg.Store.ClickHouse == "" {
		s.engine, err = embedded.Start(context.Background(), embedded.Config{Dir: s.cfg.Store.Dir, Log: s.log})
		if err == nil {
			opts = s.engine.Options()
		}
	}
	if err != nil {
		return err
	}
	if s.store, err = divergence.Open(opts); err != nil {
		return err
	}
	s.ledger = divergence.NewLedger()
	s.recorder = divergence.NewRecorder(divergence.RecorderConfig{
		Store: s.store, Ledger: s.ledger, Metrics: divergence.NewMetrics(s.registry, s.ledger),
		Instance: instance, Now: s.now, Log: s.log, Hashes: s.hashes,
	})
	return nil
}

// openAdmin opens the admin listener.
func (s *server) openAdmin() error {
	var err error
	s.admin, err = ui.New(ui.Config{
		Services: s.current.Load().forUI(), Store: s.store, Summaries: s.recorder, Gatherer: s.registry, Reloads: s,
		Dependencies: s.dependencies, Decode: decodeBody, Version: version(), Now: s.now, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.registry.MustRegister(ui.NewCollector(s.admin.Services))
	if s.adminListener, err = s.given.listen(adminSocket, s.cfg.Admin.Listen); err != nil {
		return fmt.Errorf("cannot open the admin listener: %w", err)
	}
	return nil
}

// AdminURL is where the pages are.
func (s *server) AdminURL() string { return "http://" + s.adminListener.Addr().String() }

// Run serves until ctx ends or a listener fails. Then it shuts down in the
// direction data flows, each stage bounded by its own room: callers and shadow
// requests finish, the queue is drained, what was compared is stored, the pages
// close, the engine stops.
func (s *server) Run(ctx context.Context) error {
	defer s.close()
	mirrors := s.startServices(ctx)
	working := background(func(context.Context) error { return s.worker.Run(context.Background()) })
	recording := background(s.recorder.Run)
	administrating := background(func(ctx context.Context) error { return s.admin.Run(ctx, s.adminListener) })

	mirrors.Go(func() error { return administrating.failure(s.stopping) })

	err := mirrors.Wait()
	s.queue.Close()
	err = errors.Join(err, working.wait())
	for _, stage := range []*stage{recording, background(s.stopJudges), administrating} {
		err = errors.Join(err, stage.stop())
	}
	return err
}

// close closes what newServer opened. Closing twice does no harm.
func (s *server) close() {
	for _, svc := range s.current.Load().services {
		svc.listener.Close()
	}
	if s.adminListener != nil {
		s.adminListener.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Warn("cannot close the store's connections", "error", err)
		}
	}
	if s.engine != nil {
		if err := s.engine.Close(); err != nil {
			s.log.Warn("the engine did not stop cleanly", "error", err)
		}
	}
}

// stage is something that runs beside the rest until it is told to end.
type stage struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // valid once ended is closed
}

// background runs work until stop is called.
func background(work func(context.Context) error) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = work(ctx)
	}()
	return s
}

// wait waits for the work to end by itself.
func (s *stage) wait() error {
	defer s.cancel()
	<-s.ended
	return s.err
}

// stop ends the work and waits for it.
func (s *stage) stop() error {
	s.cancel()
	return s.wait()
}

// failure waits until the work fails by itself, or ctx ends.
func (s *stage) failure(ctx context.Context) error {
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return nil
	}
}

// dependencies says how the store is doing, for /readyz and the pages.
func (s *server) dependencies(context.Context) []ui.Dependency {
	d := ui.Dependency{Name: "store", OK: true, Detail: "takes batches"}
	if err := s.recorder.Err(); err != nil {
		d.OK, d.Detail = false, err.Error()
	}
	list := []ui.Dependency{d}
	if last := s.LastReload(); len(last.Faults) > 0 {
		list = append(list, ui.Dependency{Name: "configuration", Detail: "last reload failed: " + strings.Join(last.Faults, "; ")})
	}
	if s.engine != nil {
		state := s.engine.State()
		list = append(list, ui.Dependency{Name: "engine", OK: state.Phase == embedded.Ready, Detail: state.String()})
	}
	return list
}
