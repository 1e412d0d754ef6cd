package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/egress"
	"parallax/divergence"
	"parallax/divergence/embedded"
	"parallax/internal/github"
	"parallax/internal/ids/redis"
	"parallax/internal/notices"
	"parallax/internal/yamlstrict"
	"parallax/mirror"
	"parallax/mirror/redisqueue"
	splitredis "parallax/mirror/split/redis"
	"parallax/mirror/upstream/consul"
	"parallax/reports"
	"parallax/ui"
)

const serveUsage = "serve -c FILE [--roles mirror,compare,ui,policy]"

// runServe is the verb serve.
func runServe(ctx context.Context, e env, args []string) int {
	set := e.flags("serve", serveUsage)
	file := set.String("c", "", "configuration `FILE`")
	names := set.String("roles", "", "what this process does, of mirror, compare, ui and policy, with commas; empty: everything")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if wrong := needsConfig(set, *file); wrong != "" {
		return e.misuse(serveUsage, "%s", wrong)
	}
	roles, err := parseRoles(*names)
	if err != nil {
		return e.fail("%v", err)
	}
	given, err := givenSockets(e.getenv)
	if err != nil {
		return e.fail("%v", err)
	}
	return e.serve(ctx, *file, roles, given)
}

// serve serves what a file describes, on sockets that were given where they fit,
// and takes over from the process that gave them.
func (e env) serve(ctx context.Context, file string, roles roles, given *sockets) int {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may end; callers are served nevertheless
	orders, stop := takeOrders()   // from here on they do not end the process
	defer stop()
	before := given.replacedProcess()
	cfg, faults, err := loadConfigOf(file, roles)
	if err != nil {
		before.fail(err.Error())
		return e.fail("%v", err)
	}
	if len(faults) > 0 {
		var text strings.Builder
		printFaults(io.MultiWriter(e.stderr, &text), faults)
		before.fail(text.String())
		return exitError
	}
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	s, err := newServer(cfg, log, given)
	if err == nil {
		s.file = file
		s.serves = func() { before.ready(); notify(e.getenv, serving) }
		s.stops = func() { notify(e.getenv, shutting) }
		err = s.takeOver(before)
	}
	if err != nil {
		before.fail(err.Error())
		return e.fail("%v", err)
	}
	hearSteps(ctx, s.current.Load().services)
	for _, svc := range s.current.Load().services {
		if !cfg.roles.plays(partMirror) {
			break
		}
		fmt.Fprintf(e.stdout, "%s is served on %s://%s\n", svc.name, svc.terms.Load().cfg.TLS.Scheme(), svc.listener.Addr())
		if svc.calls != nil {
			fmt.Fprintf(e.stdout, "calls that %s makes go through http://LEG@%s\n", svc.name, svc.calls.Addr())
		}
	}
	fmt.Fprintf(e.stdout, "pages, API and metrics are on %s\n", s.AdminURL())
	obeying := background(func(ctx context.Context) error { return s.obey(ctx, orders, e.getenv) })
	pauses := background(func(ctx context.Context) error { return s.pauseOnSignal(ctx, orders.pause) })
	defer pauses.stop()
	if err = errors.Join(s.Run(ctx), obeying.stop()); err != nil {
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
	began    time.Time // this process
	registry *prometheus.Registry
	given    *sockets // listeners that were open before this process; nil: none

	current    atomic.Pointer[lineup]
	lastReload atomic.Pointer[ui.Reload]
	mu         sync.Mutex // one reload at a time; guards what follows
	mirrors    *errgroup.Group
	stopping   context.Context // ends when a shutdown begins
	stopped    bool            // no service may be started any more
	retire     func()          // begins a shutdown
	started    chan struct{}   // closed when everything serves

	pausing sync.Mutex  // one signal that pauses, or change of the lineup, at a time; locked after mu
	handed  atomic.Bool // another process has taken over

	serves, stops  func() // told of the beginning and of an end that leaves nobody; may be nil
	program        string // what a restart starts
	administrating *stage

	deps          mirror.Deps
	calls         egress.Deps
	effectMetrics *effects.Metrics
	redaction     []byte // key

	queue    *mirror.MemQueue  // nil: it is in Redis
	stream   *redisqueue.Queue // nil: it is in this process
	ledger   *divergence.Ledger
	engine   *embedded.Engine // nil with an outside ClickHouse
	store    *divergence.Store
	recorder *divergence.Recorder
	quota    *divergence.Quota // nil with an outside ClickHouse
	worker   *divergence.Worker
	board    *divergence.Board // what people decided on issues
	unpaired lived             // what callers of each service got, as it was told last

	rehearsal *rehearsal
	steps     *splitredis.Store // of all mirrors; nil: those of this process are its own
	lease     *splitredis.Lease // of the policy among them; nil as steps
	shared    *redis.Store      // identifiers of all mirrors; nil: those of this process are its own

	gate   *github.Gate    // of deployments; nil: there are none
	teller *notices.Teller // of notifications; nil: nobody is told

	admin         atomic.Pointer[ui.Server]
	adminListener net.Listener
	door          ui.Door // nil: nobody is asked for a token
	accesses      *reports.AccessLog
}

// newServer wires the rooms together, in the order data flows. On an error
// everything that was opened is closed again.
func newServer(cfg Config, log *slog.Logger, given *sockets) (_ *server, err error) {
	s := &server{cfg: cfg, log: log, given: given, now: time.Now, registry: prometheus.NewRegistry(), started: make(chan struct{})}
	s.began = s.now()
	s.current.Store(&lineup{})
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.program, err = program(); err != nil {
		return nil, err
	}
	newID := parallax.NewIDSource(s.now, rand.Reader)
	secrets, err := loadKeys(cfg.Keys)
	if err != nil {
		return nil, err
	}
	s.ledger = divergence.NewLedger()
	if err := s.openQueue(secrets); err != nil {
		return nil, err
	}
	if err := s.openStore(newID().String()); err != nil {
		return nil, err
	}
	s.redaction = secrets.redaction
	s.deps = mirror.Deps{
		Queue: s.offers(), Ledger: s.ledger, Now: s.now, NewID: newID,
		Keys:    mirror.Keys{User: secrets.user, Fleet: secrets.fleet},
		Metrics: mirror.NewMetrics(s.registry), Log: log, Budget: mirror.NewBudget(mirror.DefaultBudget),
		Catalog: new(consul.Catalog),
		Lived:   s.lived,
		Spools:  &mirror.Spools{Dir: filepath.Join(cfg.StateDir, "spool"), Key: secrets.spool},
	}
	s.calls = s.egressDeps(secrets)
	s.effectMetrics = effects.NewMetrics(s.registry)
	if err := s.openIdentifiers(secrets); err != nil {
		return nil, err
	}
	if err := s.openSteps(newID()); err != nil {
		return nil, err
	}
	for _, c := range cfg.Services {
		svc, err := s.newService(c)
		if err != nil {
			return nil, err
		}
		s.current.Store(s.current.Load().with(svc))
	}
	s.worker = divergence.NewWorker(divergence.WorkerConfig{
		Source: s.source(), Fetched: s.stream != nil, Recorder: s.recorder, Ledger: s.ledger, Log: log, Goroutines: cfg.Queue.Workers, Judge: s.judgeOf, Again: s.askAgain, Gather: s.gather,
	})
	s.rehearsal = &rehearsal{divergence.NewRehearsal(s.store, s.judgeOf, s.now), s}
	if err := s.openGate(); err != nil {
		return nil, err
	}
	s.openNotices()
	if err := s.openAdmin(); err != nil {
		return nil, err
	}
	given.closeRest(log)
	return s, nil
}

// takeOver waits until the process before this one, nil for none, has let go of
// the state on disk, and reads that anew.
func (s *server) takeOver(before *predecessor) (err error) {
	if before == nil {
		return nil
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	paused, err := before.takeOver()
	if err != nil {
		return err
	}
	for _, svc := range s.current.Load().services {
		if err := s.readState(svc); err != nil {
			return err
		}
		s.readNoise(svc.name, svc.terms.Load().compares.Noise)
		if err := svc.mirror.TakeOverSpools(); err != nil {
			return err
		}
	}
	if err := s.gate.Read(); err != nil {
		return err
	}
	if paused {
		s.togglePause()
	}
	return s.admin.Load().SetServices(s.current.Load().forUI())
}

// openStore opens the store on an outside ClickHouse or on the engine inside,
// and the recorder that writes to it. Neither is waited for.
func (s *server) openStore(instance string) (err error) {
	opts, err := s.cfg.Store.options()
	if s.cfg.Store.ClickHouse == "" {
		s.engine, err = embedded.Start(context.Background(), embedded.Config{Dir: s.cfg.Store.Dir, Listen: s.cfg.Store.Listen, Socket: s.cfg.Store.Socket, Log: s.log})
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
	s.board = divergence.NewBoard(divergence.BoardConfig{
		Store: s.store, Dir: s.cfg.StateDir, Services: func() []string { return s.current.Load().names() }, Now: s.now, Log: s.log,
		Settles: s.maySteer,
	})
	s.recorder = divergence.NewRecorder(divergence.RecorderConfig{
		Store: s.store, Ledger: s.ledger, Metrics: divergence.NewMetrics(s.registry, s.ledger),
		Instance: instance, Now: s.now, Log: s.log, Hashes: s.hashes, Live: s.live, Full: s.full, Acker: s.acker(),
	})
	if s.engine != nil {
		s.quota = divergence.NewQuota(divergence.QuotaConfig{
			Store: s.store, Recorder: s.recorder, Dir: s.cfg.Store.Dir, Max: int64(s.cfg.Store.MaxDisk),
			Now: s.now, Log: s.log, Registerer: s.registry,
		})
	}
	return nil
}

// storeOptions reads where the store is: a server, or the engine of another process.
func storeOptions(dsn string) (*divergence.Options, error) {
	if socket, ok := strings.CutPrefix(dsn, "unix://"); ok {
		return embedded.At(socket), nil
	}
	return divergence.ParseDSN(dsn)
}

// openAdmin opens the admin listener.
func (s *server) openAdmin() error {
	if s.cfg.Admin.Tokens != "" {
		tokens, err := openDoor(s.cfg.Admin.Tokens, s.now, s.log)
		if err != nil {
			return err
		}
		s.door = tokens
	}
	s.accesses = reports.NewAccessLog(s.cfg.StateDir, s.now, s.log)
	admin, err := s.newAdmin()
	if err != nil {
		return err
	}
	s.admin.Store(admin)
	s.registry.MustRegister(
		ui.NewCollector(func() []ui.Service { return s.admin.Load().Services() }),
		mirror.NewLegCollector(func() []*mirror.Mirror { return s.current.Load().mirrors() }),
		newDependencyCollector(s.dependencies),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "parallax_audit_lost_total", Help: "What people did at the admin listener that its audit could not keep."},
			func() float64 { return float64(s.accesses.Lost()) }),
	)
	if s.adminListener, err = s.given.listen(adminSocket, s.cfg.Admin.Listen); err != nil {
		return fmt.Errorf("cannot open the admin listener: %w", err)
	}
	return nil
}

func (s *server) newAdmin() (*ui.Server, error) {
	return ui.New(ui.Config{
		Door: s.door, Audit: s.accesses, Hosts: s.cfg.Admin.Hosts, NoPages: !s.cfg.roles.plays(partUI), Deployments: s.deployments(),
		Services: s.current.Load().forUI(), Store: s.store, Summaries: s.recorder, Decisions: s.board, Gatherer: s.registry, Reloads: s, Rehearsal: s.rehearsal,
		Dependencies: s.dependencies, Process: s.process, Decode: decodeBody, Version: version(), Now: s.now, Log: s.log,
	})
}

// AdminURL is where the pages are.
func (s *server) AdminURL() string {
	return s.cfg.Admin.TLS.Scheme() + "://" + s.adminListener.Addr().String()
}

// Run serves until ctx ends, a listener fails or another process has taken over.
// Then it shuts down in the direction data flows, each stage bounded by its own
// room: callers and shadow requests finish, the queue is drained, what was
// compared is stored, the pages close, the engine stops.
func (s *server) Run(ctx context.Context) error {
	defer s.close()
	sharing := background(s.shareIdentifiers)
	working := background(s.work)
	recording := background(s.recorder.Run)
	sending, holding := background(s.send), background(s.hold)
	leasing := background(s.holdLease)
	keeping := background(s.keepWithinDisk)
	attending := background(s.attendRules)
	learning := background(s.keepNoise)
	deciding := background(s.board.Run)
	verifying := background(s.verifyTables)
	mirrors, err := s.startServices(ctx)
	if err == nil {
		tell(s.serves)
		<-s.stopping.Done()
	}
	if !s.handed.Load() {
		tell(s.stops)
	}

	err = errors.Join(err, s.retireCalls(), mirrors.Wait(), s.stopCalls())
	err = errors.Join(err, s.stopSending(sending), s.stopWorking(working), s.stopGathering(), verifying.stop(), learning.stop(), s.writeNoise(), keeping.stop(), deciding.stop(), attending.stop(), recording.stop(), holding.stop(), leasing.stop(), sharing.stop(), s.stopJudges(ctx))
	if s.administrating != nil {
		err = errors.Join(err, s.administrating.stop())
	}
	return err
}

// keepWithinDisk looks after the disk of the engine inside.
func (s *server) keepWithinDisk(ctx context.Context) error {
	if s.quota == nil {
		return nil
	}
	return s.quota.Run(ctx)
}

// full says why nothing may be written to the store, nil when it may.
func (s *server) full() error {
	if s.quota == nil {
		return nil
	}
	return s.quota.Full()
}

// tell calls a function that may not be there.
func tell(f func()) {
	if f != nil {
		f()
	}
}

// close closes what newServer opened. Closing twice does no harm.
func (s *server) close() {
	for _, svc := range s.current.Load().services {
		svc.listener.Close()
		svc.outward.close()
		svc.copies.close()
	}
	if s.adminListener != nil {
		s.adminListener.Close()
	}
	if s.shared != nil {
		if err := s.shared.Close(); err != nil {
			s.log.Warn("cannot close the connections to redis", "error", err)
		}
	}
	if s.stream != nil {
		if err := s.stream.Shut(); err != nil {
			s.log.Warn("the queue did not close well", "error", err)
		}
	}
	if s.steps != nil {
		if err := s.steps.Close(); err != nil {
			s.log.Warn("cannot close the connections to redis", "error", err)
		}
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
	if err := s.board.Err(); err != nil {
		list = append(list, ui.Dependency{Name: "decisions", Detail: "decisions on issues are the last known: " + err.Error()})
	}
	if s.stream != nil {
		list = append(list, s.queueStatus())
	}
	if s.shared != nil {
		list = append(list, s.identifiersStatus())
	}
	if s.steps != nil {
		list = append(list, s.stepsStatus())
	}
	if last := s.LastReload(); len(last.Faults) > 0 {
		list = append(list, ui.Dependency{Name: "configuration", Detail: "last reload failed: " + strings.Join(last.Faults, "; ")})
	}
	if err := s.accesses.Err(); err != nil {
		list = append(list, ui.Dependency{Name: "audit", Detail: "what people do here cannot be written down: " + err.Error()})
	}
	if s.engine != nil {
		state := s.engine.State()
		list = append(list, ui.Dependency{Name: "engine", OK: state.Phase == embedded.Ready, Detail: state.String() + "; " + s.quota.String()})
	}
	return list
}
