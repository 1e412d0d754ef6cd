package notices

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax/divergence"
	"parallax/reports"
)

// Store keeps what happened to issues, and what receivers were told.
type Store interface {
	IssueNews(ctx context.Context, service string, since time.Time, count int) ([]divergence.IssueNews, error)
	Mark(ctx context.Context, service, receiver string) ([]byte, error)
	SetMark(ctx context.Context, service, receiver string, at time.Time, mark []byte) error
}

var _ Store = (*divergence.Store)(nil)

// Service is how one service stands.
type Service struct {
	Name    string
	Verdict reports.Verdict
	State   reports.State
}

// Deps is what a [Teller] needs. Each receiver is told by a goroutine of its own, so functions are
// called by several at once.
type Deps struct {
	Store      Store
	Services   func() []Service
	May        func() bool // whether this process tells; of several that share steps one does
	Base       string      // where people reach the pages; empty: links are paths
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	lookEvery  = 5 * time.Second
	retryFirst = 10 * time.Second
	retryLast  = 10 * time.Minute
	mostIssues = 500 // that are looked at at once
)

// Teller tells receivers what happens. Make it with [New].
type Teller struct {
	deps      Deps
	receivers []Receiver
	client    *http.Client
	results   *prometheus.CounterVec
}

// New returns a teller and registers its metric:
//
//	parallax_notifications_total{receiver,result}  messages that were sent, or failed
func New(receivers []Receiver, deps Deps) *Teller {
	t := &Teller{deps: deps, receivers: receivers, client: newClient(), results: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parallax_notifications_total", Help: "Attempts to send a notification, by receiver and result: sent or failed.",
	}, []string{"receiver", "result"})}
	deps.Registerer.MustRegister(t.results)
	return t
}

// Run tells until ctx ends, each receiver by itself, so that one that hangs holds up no other. It
// returns nil.
func (t *Teller) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, r := range t.receivers {
		all.Go(func() { t.tell(ctx, r) })
	}
	all.Wait()
	return nil
}

// tell tells one receiver until ctx ends.
func (t *Teller) tell(ctx context.Context, r Receiver) {
	tellings := map[string]*telling{}
	beat := time.NewTicker(lookEvery)
	defer beat.Stop()
	for ctx.Err() == nil {
		if !t.deps.May() {
			clear(tellings) // another process tells meanwhile
		} else {
			t.look(ctx, r, tellings)
		}
		select {
		case <-ctx.Done():
		case <-beat.C:
		}
	}
}

// look tells a receiver of every service what is due. Tellings are by service.
func (t *Teller) look(ctx context.Context, r Receiver, tellings map[string]*telling) {
	for _, service := range t.deps.Services() {
		if !r.wants(service.Name) {
			continue
		}
		if tellings[service.Name] == nil {
			tellings[service.Name] = &telling{teller: t, receiver: r}
		}
		tellings[service.Name].step(ctx, service)
	}
}

// telling is one receiver of one service.
type telling struct {
	teller   *Teller
	receiver Receiver
	mark     *Mark // nil: not read yet
	unsaved  bool  // the store does not have it
	failures int
	next     time.Time // before it nothing is tried
}

// step tells what is due. What the store cannot answer is asked again.
func (g *telling) step(ctx context.Context, service Service) {
	now := g.teller.deps.Now()
	if now.Before(g.next) {
		return
	}
	if g.mark == nil && !g.read(ctx, service.Name) || g.unsaved && !g.save(ctx, service.Name) {
		return
	}
	news, err := g.news(ctx, service, now)
	if err != nil {
		return // the store is away, which others say
	}
	if g.mark == nil {
		m := begin(news)
		g.mark, g.unsaved = &m, true
		g.save(ctx, service.Name)
		g.teller.deps.Log.Info("a receiver of notifications is told what happens from now on", "receiver", g.receiver.Name, "service", service.Name)
		return
	}
	at := pages{g.teller.deps.Base, service.Name}
	events, next := g.mark.since(news, at)
	events = slices.DeleteFunc(events, func(e Event) bool { return len(g.receiver.On) > 0 && !slices.Contains(g.receiver.On, e.Kind) })
	switch {
	case len(events) == 0:
		g.mark = &next
	case slices.ContainsFunc(events, Event.urgent) || now.Sub(g.mark.Sent) >= g.receiver.MinInterval:
		g.send(ctx, newMessage(events, service.Name, now, at), next, now)
	}
}

// send delivers a message, or tries again later with whatever happened meanwhile.
func (g *telling) send(ctx context.Context, m Message, next Mark, now time.Time) {
	t := g.teller
	if err := g.receiver.send(ctx, t.client, m, now); err != nil {
		if ctx.Err() != nil {
			return
		}
		wait := min(retryFirst<<min(g.failures, 10), retryLast)
		g.failures++
		g.next = now.Add(wait + rand.N(wait/4))
		t.results.WithLabelValues(g.receiver.Name, "failed").Inc()
		t.deps.Log.Warn("a notification was not taken; it is sent again", "receiver", g.receiver.Name, "service", m.Service, "attempt", g.failures, "error", err)
		return
	}
	t.results.WithLabelValues(g.receiver.Name, "sent").Inc()
	next.Sent = now
	g.mark, g.unsaved, g.failures = &next, true, 0
	g.save(ctx, m.Service)
}

func (g *telling) news(ctx context.Context, service Service, now time.Time) (News, error) {
	n := News{At: now, State: service.State}
	if known(service.Verdict) {
		n.Verdict = &service.Verdict
	}
	since := now
	if g.mark != nil {
		since = g.mark.At
	}
	var err error
	n.Issues, err = g.teller.deps.Store.IssueNews(ctx, service.Name, since.Add(-overlap), mostIssues)
	return n, err
}

// known reports whether a verdict is on evidence, and not on that there is no store.
func known(v reports.Verdict) bool {
	return !v.AsOf.IsZero() && !slices.ContainsFunc(v.Reasons, func(r reports.Reason) bool { return r.Code == reports.StoreAway })
}

// read reads what the receiver was told; nothing is no mark. It reports whether the store
// answered.
func (g *telling) read(ctx context.Context, service string) bool {
	text, err := g.teller.deps.Store.Mark(ctx, service, g.receiver.Name)
	if err != nil || len(text) == 0 {
		return err == nil
	}
	var m Mark
	if err := json.Unmarshal(text, &m); err != nil {
		g.teller.deps.Log.Warn("what a receiver was told cannot be read; it is told what happens from now on", "receiver", g.receiver.Name, "service", service, "error", err)
		return true
	}
	g.mark = &m
	return true
}

func (g *telling) save(ctx context.Context, service string) bool {
	text, err := json.Marshal(g.mark)
	if err == nil {
		err = g.teller.deps.Store.SetMark(ctx, service, g.receiver.Name, g.teller.deps.Now(), text)
	}
	if err != nil {
		err = fmt.Errorf("what %s was told of %s is not kept yet: %w", g.receiver.Name, service, err)
		g.teller.deps.Log.Debug("notifications", "error", err)
	}
	g.unsaved = err != nil
	return err == nil
}
