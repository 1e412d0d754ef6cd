package divergence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax/compare"
	"parallax/internal/atomicfile"
)

// Board is what people decided on issues and which rules they saved, as a process knows it: it asks the store
// every few seconds, so that a decision holds in every process without a restart,
// for exchanges that are compared from the moment it is seen. What takes
// differences away is on disk too: a process that starts, or whose store is away,
// goes by the last it knew, and [Board.Err] says so.
type Board struct {
	cfg BoardConfig

	begun   atomic.Uint64 // refreshes
	putting sync.Mutex    // held while what was read is put in force; never by who judges
	saving  sync.Mutex    // held while rules are saved

	mu       sync.RWMutex
	services map[string]*boardPage
	signed   map[string]signedPage
	rules    map[string]rulesPage
	asked    bool            // the store answered once
	read     map[string]bool // services whose decisions the store told since this process began
	away     error
}

// BoardConfig is what a [Board] needs. All fields but Settles are required.
type BoardConfig struct {
	Store    *Store
	Dir      string // where what is accepted and what rules were saved is kept, a file each a service
	Services func() []string
	Now      func() time.Time
	Log      *slog.Logger

	Settles func() bool // whether this process writes down what became of issues by itself; nil: it does
}

// boardPage is one service: the last decision on each issue, and what follows.
type boardPage struct {
	last     map[string]IssueDecision // at most maxDecided
	accepted *compare.Acceptances
	begun    uint64 // the refresh that read it; one that began earlier knows less
}

// signedPage is what people signed of one service and when they started its evidence anew,
// and the refresh that read it.
type signedPage struct {
	begun     uint64
	list      []SignOff
	restarted time.Time
}

const (
	boardEvery  = 2 * time.Second
	settleEvery = 5 * time.Minute
	settleBack  = 48 * time.Hour // issues that were not seen for longer stay as they are
	maxDecided  = 20_000         // issues a service may have decisions on; the oldest are left out, those of Parallax first
	maxBoard    = 128 << 20      // bytes of a file of decisions, more than maxDecided take
)

// NewBoard returns a board that knows nothing yet: [Board.Open] each service.
func NewBoard(cfg BoardConfig) *Board {
	return &Board{cfg: cfg, services: map[string]*boardPage{}, signed: map[string]signedPage{}, rules: map[string]rulesPage{}, read: map[string]bool{}}
}

// Open reads what was last known of a service from its files. It fails when there is
// one that cannot be read: without it, evidence would start anew.
func (b *Board) Open(service string) error {
	if err := b.openRules(service); err != nil {
		return err
	}
	text, err := readBounded(b.file(service), maxBoard)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []IssueDecision
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return fmt.Errorf("cannot read what is accepted of %s from %q: %w; mend the file, or remove it to ask the store", service, b.file(service), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services[service] = newBoardPage(list)
	return nil
}

// readBounded reads a file of up to so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it is longer than %d bytes", most)
	}
	return text, err
}

// file is in a folder of its own: no service has a name by which its state, which
// lies in Dir too, is this file.
func (b *Board) file(service string) string {
	return filepath.Join(b.cfg.Dir, "issues", url.PathEscape(service)+".json")
}

// newBoardPage folds decisions in their order.
func newBoardPage(list []IssueDecision) *boardPage {
	p := &boardPage{last: map[string]IssueDecision{}}
	for _, d := range list {
		p.last[d.Fingerprint] = d
	}
	p.accepted = compare.NewAcceptances(p.acceptances())
	return p
}

func (p *boardPage) acceptances() []compare.Acceptance {
	var out []compare.Acceptance
	for _, key := range slices.Sorted(maps.Keys(p.last)) {
		if a, ok := p.last[key].acceptance(); ok {
			out = append(out, a)
		}
	}
	return out
}

// Accepted returns what is accepted of a service by now. It does not block on I/O;
// what it returns does not change and is the same value until a decision comes.
func (b *Board) Accepted(service string) *compare.Acceptances {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if p := b.services[service]; p != nil {
		return p.accepted
	}
	return nil
}

// Err says why the store could not be asked lately, nil while it can: what is
// accepted is then the last that was known.
func (b *Board) Err() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.away
}

// Decide stores decisions and puts them in force in this process. It fails with
// [ErrAway] while the store is away; then nothing, or the first of them, is in
// force.
func (b *Board) Decide(ctx context.Context, service string, decisions ...IssueDecision) error {
	for i, d := range decisions {
		d = d.completed()
		d.At = d.At.UTC().Truncate(time.Microsecond)
		row, err := d.row(service)
		if err != nil {
			return err
		}
		if err := b.cfg.Store.AppendDecision(ctx, row); err != nil {
			return fmt.Errorf("%d of %d issues: %w", i, len(decisions), err)
		}
	}
	return b.refresh(ctx, service)
}

// Run asks the store for decisions until ctx ends, and resolves issues that a newer
// version of the candidate does not show. It returns nil.
func (b *Board) Run(ctx context.Context) error {
	var settled time.Time
	for ctx.Err() == nil {
		err := b.refreshAll(ctx)
		if now := b.cfg.Now(); err == nil && now.Sub(settled) >= settleEvery && (b.cfg.Settles == nil || b.cfg.Settles()) {
			settled = now
			err = b.settleAll(ctx)
		}
		b.note(ctx, err)
		pause(ctx, boardEvery)
	}
	return nil
}

// note remembers how asking the store went, and logs when that changes.
func (b *Board) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	before, asked := b.away, b.asked
	b.away, b.asked = err, asked || err == nil
	b.mu.Unlock()
	switch {
	case !asked: // a store that starts is no news
	case err != nil && before == nil:
		b.cfg.Log.Warn("decisions on issues are the last known: the store cannot be asked", "error", err)
	case err == nil && before != nil:
		b.cfg.Log.Info("decisions on issues are asked of the store again")
	}
}

func (b *Board) refreshAll(ctx context.Context) error {
	for _, service := range b.cfg.Services() {
		if err := b.refresh(ctx, service); err != nil {
			return err
		}
	}
	return nil
}

// refresh puts what the store holds in force.
func (b *Board) refresh(ctx context.Context, service string) error {
	begun := b.begun.Add(1)
	list, err := b.cfg.Store.lastDecisions(ctx, service)
	if err != nil {
		return err
	}
	signed, err := b.cfg.Store.lastSignOffs(ctx, service)
	if err != nil {
		return err
	}
	restarted, err := b.cfg.Store.lastRestart(ctx, service)
	if err != nil {
		return err
	}
	saved, err := b.cfg.Store.lastRules(ctx, service)
	if err != nil {
		return err
	}
	if err := b.put(service, begun, list); err != nil {
		return err
	}
	if err := b.putRules(service, rulesPage{begun, saved}); err != nil {
		return err
	}
	b.putSigned(service, signedPage{begun, signed, restarted})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read[service] = true
	return nil
}

// putSigned puts in force what people signed, unless a refresh that began later did.
func (b *Board) putSigned(service string, page signedPage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if page.begun >= b.signed[service].begun {
		b.signed[service] = page
	}
}

// RestartedAt returns when a person last started the evidence of a service anew, in whichever
// process, to the microsecond; zero for never, as far as is known.
func (b *Board) RestartedAt(service string) time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.signed[service].restarted
}

// put puts in force what a refresh read, unless one that began later was faster: a
// decision that is in force would be undone for a while. What takes differences
// away is on disk before it is in force, so that a restart judges alike.
func (b *Board) put(service string, begun uint64, list []IssueDecision) error {
	b.putting.Lock()
	defer b.putting.Unlock()
	b.mu.RLock()
	before := b.services[service]
	b.mu.RUnlock()
	if before == nil {
		before = newBoardPage(nil)
	}
	next := newBoardPage(list)
	if next.begun = begun; begun < before.begun || maps.Equal(before.last, next.last) {
		return nil
	}
	if slices.Equal(before.acceptances(), next.acceptances()) {
		next.accepted = before.accepted // its identity says that nothing changed
	} else if err := b.keep(service, next); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services[service] = next
	return nil
}

// keep writes what takes differences away, whole or not at all.
func (b *Board) keep(service string, p *boardPage) error {
	list := make([]IssueDecision, 0, len(p.last))
	for _, key := range slices.Sorted(maps.Keys(p.last)) {
		if _, ok := p.last[key].acceptance(); ok {
			list = append(list, p.last[key])
		}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = atomicfile.Replace(b.file(service), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot keep what is accepted of %s: %w", service, err)
	}
	return nil
}

// settleAll writes down what became of issues by itself.
func (b *Board) settleAll(ctx context.Context) error {
	for _, service := range b.cfg.Services() {
		if err := b.settle(ctx, service); err != nil {
			return err
		}
	}
	return nil
}

// settle resolves what the newest version of the candidate does not show, and says
// of what was resolved and counts again that it regressed.
func (b *Board) settle(ctx context.Context, service string) error {
	now := b.cfg.Now()
	versions, err := b.cfg.Store.newestVersions(ctx, service, now)
	if err != nil {
		return err
	}
	issues, err := b.cfg.Store.Issues(ctx, service, IssueFilter{Window: Window{From: now.Add(-settleBack)}, At: now, Limit: 1000})
	if err != nil {
		return err
	}
	var decisions []IssueDecision
	for _, i := range issues {
		to, note := i.turns(now, versions[i.Endpoint])
		if to != "" {
			decisions = append(decisions, IssueDecision{At: now, Fingerprint: i.Fingerprint, Endpoint: i.Endpoint, State: to, Who: Itself, Note: note})
		}
	}
	if len(decisions) == 0 {
		return nil
	}
	return b.Decide(ctx, service, decisions...)
}

// turns returns the state an issue turns to by itself and why, "" when it stays.
func (i Issue) turns(now time.Time, newest candidateVersion) (to, note string) {
	var said IssueDecision
	if i.Decision != nil {
		said = *i.Decision
	}
	state := said.state(now, i.LastCounted)
	switch {
	case state == RegressedIssue && said.State == ResolvedIssue:
		return RegressedIssue, "it counts again"
	case mayTurn(state, ResolvedIssue, Itself) && newest.without(i) && !said.At.After(newest.first):
		return ResolvedIssue, fmt.Sprintf("%d exchanges of version %s did not show it", newest.n, newest.name)
	}
	return "", ""
}

// candidateVersion is the version that the candidate has lately on an endpoint.
type candidateVersion struct {
	name  string
	first time.Time // its first comparable exchange
	n     int64     // comparable exchanges
}

// without reports whether the version has been seen enough and never with an issue
// that older ones had. A candidate that does not tell its version resolves nothing.
func (v candidateVersion) without(i Issue) bool {
	return v.name != "" && v.n >= ResolvedAfter && i.LastCounted.Before(v.first)
}
