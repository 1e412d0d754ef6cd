package main

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	"parallax/mirror"
	"parallax/mirror/split"
	"parallax/ui"
)

var _ ui.Reloader = (*server)(nil)

// Reload reads the configuration file again and puts it in force: all of it, or
// nothing when anything is wrong with it. No connection is dropped and no
// exchange lost. What was wrong is logged once, and kept for LastReload.
func (s *server) Reload(context.Context) ui.Reload {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := ui.Reload{At: s.now().UTC()}
	r.Changes, r.Faults = s.reload()
	s.lastReload.Store(&r)
	if len(r.Faults) > 0 {
		s.log.Error("the configuration was not reloaded; the one of before is in force", "faults", strings.Join(r.Faults, "; "))
	} else {
		s.log.Info("the configuration was reloaded", "changes", strings.Join(r.Changes, "; "))
	}
	return r
}

// LastReload returns how the last reload went, the zero value when there was none.
func (s *server) LastReload() ui.Reload {
	if r := s.lastReload.Load(); r != nil {
		return *r
	}
	return ui.Reload{}
}

// reload returns what changed, or everything that is wrong. The caller holds mu.
func (s *server) reload() (changes, faults []string) {
	if s.handed.Load() {
		return nil, []string{errReplaced.Error()}
	}
	if s.stopping == nil || s.stopped || s.stopping.Err() != nil {
		return nil, []string{"Parallax is starting or shutting down"}
	}
	cfg, wrong, err := loadConfigOf(s.file, s.cfg.roles)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for _, f := range wrong {
		faults = append(faults, f.Error())
	}
	if faults = append(faults, needRestart(s.cfg, cfg)...); len(faults) > 0 {
		return nil, faults
	}
	p, faults := s.plan(cfg)
	if len(faults) > 0 {
		p.discard()
		return nil, faults
	}
	return p.commit(), nil
}

// needRestart names what only a restart can change: everything but the services.
func needRestart(before, after Config) (faults []string) {
	before.Services, after.Services = nil, nil
	for _, path := range changed(reflect.ValueOf(before), reflect.ValueOf(after), "") {
		faults = append(faults, path+" is another: this needs a restart, which loses no request either: send SIGUSR2")
	}
	return faults
}

// changed lists the keys whose values are not the same, as paths. It looks into
// blocks and not into lists, and never repeats a value, which may be a secret.
func changed(a, b reflect.Value, path string) (paths []string) {
	if a.Kind() != reflect.Struct || a.NumField() == 0 || !a.Type().Field(0).IsExported() {
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			paths = append(paths, path)
		}
		return paths
	}
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "-" { // read from another file
			key = strings.ToLower(f.Name)
		}
		if path != "" && key != "" {
			key = path + "." + key
		} else if key == "" { // inline
			key = path
		}
		paths = append(paths, changed(a.Field(i), b.Field(i), key)...)
	}
	return slices.Compact(paths)
}

// plan is a configuration that is built and not in force.
type plan struct {
	s       *server
	steps   []step
	leaving []*service
	next    *lineup
}

// step puts one service in force.
type step struct {
	svc      *service
	added    bool
	terms    *terms
	gathers  *gathering // that takes the place of the one at work, if rereads
	rereads  bool
	change   *mirror.Change // nil for one that is added
	listener net.Listener   // to move to; nil: it stays
	calls    net.Listener   // for the legs' calls, if moves says so; nil: none
	moves    bool
}

// plan builds everything. With faults the plan is to be discarded.
func (s *server) plan(cfg Config) (*plan, []string) {
	now := s.current.Load()
	p := &plan{s: s, next: &lineup{}}
	var faults []string
	for i, c := range cfg.Services {
		at := fmt.Sprintf("services[%d]", i)
		svc := now.byName[c.Name]
		switch {
		case svc == nil:
			faults = append(faults, p.add(at, c)...)
		case !slices.Contains(now.services, svc):
			faults = append(faults, fmt.Sprintf("%s: the last exchanges of the service %q that was here before are being stored: try again in a minute", at, c.Name))
		default:
			faults = append(faults, p.alter(at, svc, c)...)
		}
	}
	for _, svc := range now.services {
		if p.next.byName[svc.name] != svc {
			p.leaving = append(p.leaving, svc)
		}
	}
	return p, faults
}

func (p *plan) add(at string, c ServiceConfig) []string {
	svc, err := p.s.newService(c)
	if err != nil {
		return []string{at + ": " + err.Error()}
	}
	p.steps = append(p.steps, step{svc: svc, added: true, terms: svc.terms.Load()})
	p.next = p.next.with(svc)
	return nil
}

func (p *plan) alter(at string, svc *service, c ServiceConfig) (faults []string) {
	before := svc.terms.Load()
	st := step{svc: svc}
	t, wrong := newTerms(c, p.s.redaction, p.s.board, before)
	change, more := svc.mirror.Prepare(c.Service)
	for _, f := range append(wrong, more...) {
		faults = append(faults, at+": "+f.Error())
	}
	st.terms, st.change = t, change
	if t != nil {
		svc.adopt(t)
	}
	if st.rereads = rereads(before.cfg, c); st.rereads {
		var err error
		if st.gathers, err = p.s.newGathering(svc, c); err != nil {
			faults = append(faults, at+".effects: "+err.Error())
		}
	}
	if c.Listen != before.cfg.Listen {
		var err error
		if st.listener, err = p.s.reopen(c.Listen); err != nil {
			faults = append(faults, fmt.Sprintf("%s.listen: %v", at, err))
		}
	}
	if st.moves = c.Egress.Listen != before.cfg.Egress.Listen; st.moves && c.Egress.Configured() {
		var err error
		if st.calls, err = net.Listen("tcp", c.Egress.Listen); err != nil {
			faults = append(faults, fmt.Sprintf("%s.egress.listen: %v", at, err))
		}
	}
	if step := svc.steps.State().Step; step > 0 && (len(c.Split.Push) == 0) != (len(before.cfg.Split.Push) == 0) {
		faults = append(faults, fmt.Sprintf("%s.split.push: at step %d users cannot be moved between this splitter and others: set the step to 0 first", at, step))
	}
	p.steps = append(p.steps, st)
	p.next = p.next.with(svc)
	return faults
}

// discard gives up what was built.
func (p *plan) discard() {
	for _, st := range p.steps {
		if st.change != nil {
			st.change.Discard()
		}
		if st.listener != nil {
			st.listener.Close()
		}
		if st.calls != nil {
			st.calls.Close()
		}
		if st.added {
			st.svc.mirror.Close()
			st.svc.listener.Close()
			st.svc.outward.close()
		}
	}
}

// commit puts everything in force and says what is another now.
func (p *plan) commit() (changes []string) {
	s := p.s
	order := !slices.EqualFunc(s.current.Load().services, p.next.services, func(a, b *service) bool { return a == b })
	for _, svc := range p.leaving {
		p.next.byName[svc.name] = svc
	}
	s.replace(p.next) // before the first request of a service that is added
	hearSteps(context.Background(), p.added())
	for _, st := range p.steps {
		changes = append(changes, st.commit(s)...)
	}
	for _, svc := range p.leaving {
		changes = append(changes, fmt.Sprintf("service %s: removed; its callers are let finish", svc.name))
		svc.copies.close()
		svc.stop()
	}
	if order && len(changes) == 0 {
		changes = append(changes, "services: in another order")
	}
	if err := s.admin.Load().SetServices(p.next.forUI()); err != nil {
		s.log.Error("the pages show the services of before", "error", err) // a defect: names were validated
	}
	return changes
}

// added is the services that were not here before.
func (p *plan) added() []*service {
	var out []*service
	for _, st := range p.steps {
		if st.added {
			out = append(out, st.svc)
		}
	}
	return out
}

func (st step) commit(s *server) (changes []string) {
	svc := st.svc
	if st.added {
		s.start(svc)
		return []string{fmt.Sprintf("service %s: added, on %s", svc.name, svc.listener.Addr())}
	}
	if st.rereads {
		s.reread(svc, st.gathers)
	} else if g := svc.effects.now.Load(); g != nil {
		g.joiner.Adjust(st.terms.cfg.Effects)
	}
	svc.pilot.steering.Lock() // or the policy would go by groups of one configuration and steps of another
	before := svc.terms.Swap(st.terms)
	svc.judge.SetPolicy(st.terms.cfg.Promotion)
	st.change.Commit()
	if !reflect.DeepEqual(before.cfg.Split.Groups, st.terms.cfg.Split.Groups) {
		changes = append(changes, svc.regroup(st.terms.cfg.Split)...)
	}
	svc.pilot.steering.Unlock()
	if !reflect.DeepEqual(before.cfg.Split.Push, st.terms.cfg.Split.Push) {
		svc.repush(st.terms.cfg.Split.Push)
	}
	was, now := before.cfg, st.terms.cfg
	was.Effects.Calls, now.Effects.Calls = nil, nil // names that egress gives
	if paths := changed(reflect.ValueOf(was), reflect.ValueOf(now), ""); len(paths) > 0 {
		changes = append(changes, fmt.Sprintf("service %s: %s", svc.name, strings.Join(paths, ", ")))
	}
	if step := svc.steps.State().Step; step > 0 && step < split.Buckets && reshuffled(before.cfg.Split, st.terms.cfg.Split) {
		changes = append(changes, fmt.Sprintf("service %s: step %d stays, but other users than before are on the candidate now", svc.name, step))
	}
	changes = append(changes, st.commitCalls()...)
	if st.listener == nil {
		return changes
	}
	if err := svc.mirror.Move(st.listener); err != nil {
		return append(changes, err.Error())
	}
	svc.listener = st.listener
	return append(changes, fmt.Sprintf("service %s: callers are accepted on %s", svc.name, st.listener.Addr()))
}

// reshuffled reports whether a step means other users than before.
func reshuffled(before, after split.Config) bool {
	return before.Key != after.Key || before.Salt != after.Salt
}
