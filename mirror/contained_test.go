package mirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func TestUnsafeRequestsAskForOutboundAndJobs(t *testing.T) {
	t.Parallel()
	f := func(change func(*Service), want ...string) {
		t.Helper()
		s := Service{
			Name: "shop", Mirror: DefaultOptions(),
			Primary:   LegConfig{URLs: LegURLs("http://127.0.0.1:1")},
			Candidate: LegConfig{URLs: LegURLs("http://127.0.0.1:2"), State: Own},
		}
		s.Mirror.Unsafe = UnsafeAllowed
		change(&s)
		var got []string
		for _, fault := range s.Validate() {
			got = append(got, fault.Path)
			if fault.Hint == "" {
				t.Errorf("%s: no hint", fault)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("faults (-want +got):\n%s", diff)
		}
	}
	state := func(state State) func(*Service) { return func(s *Service) { s.Candidate.State = state } }
	both := []string{"candidate.outbound", "candidate.jobs"}

	f(state(Own), both...)
	f(state(Dry), both...)
	f(state(None))
	f(state(Shared))
	f(state(Follower))
	f(func(s *Service) { s.Mirror.Unsafe = UnsafeNever })
	f(func(s *Service) {
		s.Mirror.Unsafe = UnsafeNever
		s.Mirror.Endpoints = map[string]EndpointOptions{"POST /orders": {Unsafe: UnsafeAllowed}}
	}, both...)
	f(func(s *Service) { s.Candidate.Outbound = OutboundContained }, "candidate.jobs")
	f(func(s *Service) { s.Candidate.Outbound, s.Candidate.Jobs = OutboundNone, JobsOwn })
	f(func(s *Service) { s.Candidate.Outbound, s.Candidate.Jobs = OutboundContained, JobsOff })
	f(func(s *Service) {
		s.Candidate.Outbound, s.Candidate.Jobs = OutboundContained, JobsOff
		s.Secondary = LegConfig{URLs: LegURLs("http://127.0.0.1:3"), State: Dry}
		s.Primary.State = Own // it gets copies and recordings
	}, "primary.outbound", "primary.jobs", "secondary.outbound", "secondary.jobs")
	f(func(s *Service) { s.Candidate.URLs = nil })
	f(func(s *Service) { s.Candidate.Outbound, s.Candidate.Jobs = "maybe", "on" }, "candidate.outbound", "candidate.jobs")
}

// The fault names the key that lets the requests through.
func TestUndeclaredActsSayWhatLetsThemThrough(t *testing.T) {
	t.Parallel()
	s := Service{
		Name: "shop", Mirror: DefaultOptions(),
		Primary:   LegConfig{URLs: LegURLs("http://127.0.0.1:1")},
		Candidate: LegConfig{URLs: LegURLs("http://127.0.0.1:2"), State: Own, Jobs: JobsOff},
	}
	s.Mirror.Endpoints = map[string]EndpointOptions{"POST /orders": {Unsafe: UnsafeAllowed}}
	want := []parallax.Fault{{
		Path: "candidate.outbound",
		Text: "not declared, and mirror.endpoints.POST /orders.unsafe lets unsafe requests through to this leg, which is own",
		Hint: outboundHint,
	}}
	if diff := cmp.Diff(want, s.Validate()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
