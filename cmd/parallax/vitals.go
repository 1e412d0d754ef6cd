package main

import "parallax/ui"

// process says how this process is doing.
func (s *server) process() ui.Process {
	p := ui.Process{Roles: s.cfg.roles.names(), Started: s.began, Queue: ui.QueueStatus{Most: s.cfg.Queue.Exchanges}}
	if s.stream != nil {
		p.Queue.Where, p.Queue.Waiting = "redis", s.stream.Len()
	} else {
		p.Queue.Where, p.Queue.Waiting = "memory", s.queue.Len()
	}
	return p
}

// names are the roles a process was given; none for all.
func (r roles) names() (names []string) {
	for _, part := range partNames {
		if !r.all() && r.plays(part.role) {
			names = append(names, part.name)
		}
	}
	return names
}

// vitals says how the service is doing here, besides its legs.
func (svc *service) vitals() ui.Vitals {
	v := ui.Vitals{Places: svc.ledger.Totals(svc.name).At}
	g := svc.effects.now.Load()
	if g == nil {
		return v
	}
	for _, r := range g.joiner.Readings() {
		v.Databases = append(v.Databases, ui.DatabaseStatus{Leg: r.Leg.String(), Name: r.Database, Behind: r.Behind, Gap: r.Gap, Since: r.Since.UTC()})
	}
	return v
}
