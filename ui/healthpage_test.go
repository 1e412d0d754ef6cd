package ui

import (
	"context"
	"testing"
	"time"
)

// TestHealthPage says in words what is well, what is not and what to do about it.
func TestHealthPage(t *testing.T) {
	t.Parallel()
	f := func(change func(*Config), wants ...string) {
		t.Helper()
		r := newRig(t, func(c *Config) {
			c.Process = func() Process {
				return Process{Started: now.Add(-90 * time.Minute), Queue: QueueStatus{Where: "memory", Waiting: 12, Most: 20_000}}
			}
			c.Services[0].Legs = func() []LegStatus { return []LegStatus{{Leg: "primary", Healthy: true, InFlight: 3}} }
		}, change)
		says(t, "/health", parsePage(t, r, "/health", 200), wants...)
	}
	f(func(*Config) {}, "All is well", "everything", "1h30m0s", "12 of 20000 exchanges, in memory", "primary")
	f(func(c *Config) {
		c.Process = func() Process { return Process{Roles: []string{"mirror", "ui"}} }
	}, "All is well", "mirror, ui")
	f(func(c *Config) {
		c.Services[0].Legs = func() []LegStatus {
			return []LegStatus{{
				Leg: "candidate", Detail: "not asked as a shadow for now: it gave no answers", BreakerOpen: true,
				Instances: []InstanceStatus{{Name: hostile, Reason: "ejected"}}, LastError: &LegFailure{At: now, Text: "refused: connection refused"},
			}}
		}
	}, "Something needs a person", "not asked as a shadow for now", "open", hostile+": ejected", "refused: connection refused")
	f(func(c *Config) {
		c.Services[0].Vitals = func() Vitals {
			return Vitals{Places: map[string]int64{"queue": 12, "batch": 3}, Databases: []DatabaseStatus{
				{Leg: "primary", Name: "shop_old", Behind: 20 * time.Millisecond}, {Leg: "candidate", Name: "shop_new", Gap: "the slot was given up", Since: now},
			}}
		}
	}, "Something needs a person", "20 ms behind", "the slot was given up", "3 batch, 12 queue")
	f(func(c *Config) {
		c.Dependencies = func(context.Context) []Dependency {
			return []Dependency{{Name: "store", Detail: "no answer since 11:58"}}
		}
	}, "Something needs a person", "no answer since 11:58", "Callers are served and mirrored as before.")
}
