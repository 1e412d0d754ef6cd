// Package idstest holds what every implementation of [ids.Map] has to pass.
package idstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// TestMap checks an implementation; open returns an empty one.
func TestMap(t *testing.T, open func(t *testing.T) ids.Map) {
	t.Helper()
	ref := func(leg parallax.Leg, value string) ids.Ref { return ids.Ref{Name: "order", Leg: leg, Value: value} }
	pending := func(value string, to parallax.Leg) ids.Fact {
		return ids.Fact{Ref: ref(parallax.Primary, value), To: to, State: ids.Pending}
	}
	paired := func(value string, to parallax.Leg, partner string) ids.Fact {
		return ids.Fact{Ref: ref(parallax.Primary, value), To: to, State: ids.Paired, Partner: partner}
	}
	failed := func(value string, to parallax.Leg) ids.Fact {
		return ids.Fact{Ref: ref(parallax.Primary, value), To: to, State: ids.Failed}
	}
	learn := func(t *testing.T, m ids.Map, facts ...ids.Fact) {
		t.Helper()
		if err := m.Learn(t.Context(), facts...); err != nil {
			t.Fatalf("Learn: %v", err)
		}
	}
	find := func(t *testing.T, m ids.Map, want ids.Entry, r ids.Ref) {
		t.Helper()
		got, err := m.Find(t.Context(), r)
		if err != nil || len(got) != 1 {
			t.Fatalf("Find: %v %v", got, err)
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%v (-want +got)\n%s", r, diff)
		}
	}
	t.Run("a pair is known from either side", func(t *testing.T) {
		m := open(t)
		learn(t, m, paired("17", parallax.Candidate, "9017"), paired("17", parallax.Secondary, "\x00\n517"))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Paired, Value: "9017"}, parallax.Secondary: {State: ids.Paired, Value: "\x00\n517"}}, ref(parallax.Primary, "17"))
		find(t, m, ids.Entry{parallax.Primary: {State: ids.Paired, Value: "17"}}, ref(parallax.Candidate, "9017"))
		find(t, m, ids.Entry{}, ref(parallax.Candidate, "17"))
		find(t, m, ids.Entry{}, ids.Ref{Name: "token", Value: "17"})
	})
	t.Run("the latest pair holds, pending and failed do not replace one", func(t *testing.T) {
		m := open(t)
		learn(t, m, pending("1", parallax.Candidate))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Pending}}, ref(parallax.Primary, "1"))
		learn(t, m, failed("1", parallax.Candidate))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Failed}}, ref(parallax.Primary, "1"))
		learn(t, m, pending("1", parallax.Candidate))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Pending}}, ref(parallax.Primary, "1"))
		learn(t, m, paired("1", parallax.Candidate, "a"), pending("1", parallax.Candidate), failed("1", parallax.Candidate))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Paired, Value: "a"}}, ref(parallax.Primary, "1"))
		learn(t, m, paired("1", parallax.Candidate, "b"))
		find(t, m, ids.Entry{parallax.Candidate: {State: ids.Paired, Value: "b"}}, ref(parallax.Primary, "1"))
		find(t, m, ids.Entry{parallax.Primary: {State: ids.Paired, Value: "1"}}, ref(parallax.Candidate, "a"))
	})
	t.Run("whoever waits is told", func(t *testing.T) {
		m := open(t)
		learn(t, m, pending("1", parallax.Candidate), pending("2", parallax.Candidate))
		var wait sync.WaitGroup
		for value, want := range map[string]ids.Partner{"1": {State: ids.Paired, Value: "a"}, "2": {State: ids.Failed}, "3": {}} {
			wait.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got, err := m.Await(ctx, ref(parallax.Primary, value), parallax.Candidate)
				if err != nil || got != want {
					t.Errorf("Await %s: %v, %v, want %v", value, got, err, want)
				}
			})
		}
		learn(t, m, paired("1", parallax.Candidate, "a"), failed("2", parallax.Candidate))
		wait.Wait()
	})
	t.Run("a wait ends with its context", func(t *testing.T) {
		m := open(t)
		learn(t, m, pending("1", parallax.Candidate))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if p, err := m.Await(ctx, ref(parallax.Primary, "1"), parallax.Candidate); p.State == ids.Paired || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Await: %v, %v", p, err)
		}
	})
	t.Run("what is too long is not taken in", func(t *testing.T) {
		m := open(t)
		long := strings.Repeat("x", 1<<20)
		learn(t, m, paired(long, parallax.Candidate, "a"))
		find(t, m, ids.Entry{}, ref(parallax.Primary, long))
	})
	t.Run("many at once", func(t *testing.T) {
		m := open(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for _, v := range []string{"1", "2", "3", "4"} {
					if err := m.Learn(t.Context(), pending(v, parallax.Candidate), paired(v, parallax.Candidate, "c"+v)); err != nil {
						t.Errorf("Learn: %v", err)
					}
				}
			})
		}
		all.Wait()
		for _, v := range []string{"1", "2", "3", "4"} {
			find(t, m, ids.Entry{parallax.Candidate: {State: ids.Paired, Value: "c" + v}}, ref(parallax.Primary, v))
		}
	})
}
