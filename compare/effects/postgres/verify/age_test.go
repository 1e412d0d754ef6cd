package verify_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax/compare"
	"parallax/compare/effects/postgres"
	"parallax/compare/effects/postgres/verify"
)

func TestYoungRowsByColumn(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, n int, changed timestamptz); insert into t select g, g, '2026-01-01' from generate_series(1, 1000) g`)
	s.SQL("old", `update t set n = 0, changed = now() where id = 7; insert into t values (2000, 0, now())`)
	s.SQL("new", `update t set n = 0 where id = 8`)
	o := quick()
	o.MinAge = time.Minute
	r := run(t, s, o, compare.EffectTable{Primary: "t", Age: "changed"})
	want(t, r, `t changed id=8 n: 8 -> 0`)
	if got := r.Tables[0]; got.Young != 2 || got.Age != "by column changed" {
		t.Errorf("%+v", got)
	}
	want(t, run(t, s, quick(), compare.EffectTable{Primary: "t", Ignore: []string{"changed"}}), `
		t changed id=7 n: 0 -> 7
		t changed id=8 n: 8 -> 0
		t missing id=2000 : {"id":2000,"n":0} ->`)
}

func TestYoungRowsByCommit(t *testing.T) {
	t.Parallel()
	s := databases(t, "track_commit_timestamp=on")
	both(s, `create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 1000) g`)
	s.SQL("new", `update t set n = 0 where id = 8`)
	o := quick()
	o.MinAge = time.Hour
	r := run(t, s, o, compare.EffectTable{Primary: "t"})
	want(t, r, ``)
	if got := r.Tables[0]; got.Young != 1 || got.Age != "by the time of the commit" {
		t.Errorf("%+v", got)
	}
}

// A row that is changed while its difference waits for the second look is too young,
// where nothing says when rows were changed.
func TestYoungRowsByWatching(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 1000) g`)
	s.SQL("new", `update t set n = 0 where id in (8, 9, 10)`)
	o := quick()
	o.MinAge = time.Millisecond
	var once sync.Once
	o.Progress = func(p verify.Progress) {
		if p.Waits > 0 {
			once.Do(func() {
				s.SQL("new", `update t set n = 9 where id = 9`)  // what lagged arrives
				s.SQL("old", `update t set n = 99 where id = 8`) // changed anew
			})
		}
	}
	r := run(t, s, o, compare.EffectTable{Primary: "t"})
	want(t, r, `t changed id=10 n: 10 -> 0`)
	if got := r.Tables[0]; got.Young != 1 || got.Late != 1 || !strings.Contains(got.Age, "looked at again after 1ms") {
		t.Errorf("%+v", got)
	}
}

// What differs only because one side lags is no difference, however rows are brought
// together.
func TestLagIsNoDifference(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table keyed (id int primary key, n int); insert into keyed select g, g from generate_series(1, 1000) g; create table bare (n int); insert into bare select g from generate_series(1, 1000) g`)
	s.SQL("old", `update keyed set n = 0 where id = 8; delete from keyed where id = 10; insert into keyed values (2000, 1); insert into bare values (1), (1); update bare set n = 5 where n = 6`)
	o := quick()
	o.Progress = func(p verify.Progress) {
		switch {
		case p.Waits > 0 && p.Table == "keyed":
			s.SQL("new", `update keyed set n = 0 where id = 8; delete from keyed where id = 10; insert into keyed values (2000, 1) on conflict do nothing`)
		case p.Waits > 0:
			s.SQL("new", `insert into bare values (1), (1); update bare set n = 5 where n = 6`)
		}
	}
	r := run(t, s, o, compare.EffectTable{Primary: "keyed"}, compare.EffectTable{Primary: "bare"})
	want(t, r, ``)
	if r.Tables[0].Late != 3 || r.Tables[1].Late != 3 {
		t.Errorf("%+v", r.Tables)
	}
}

func TestMostDifferences(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, n int)`)
	s.SQL("old", `insert into t select g, g from generate_series(1, 20000) g`)
	o := quick()
	o.Most = 5
	r := run(t, s, o, compare.EffectTable{Primary: "t"})
	if got := r.Tables[0]; len(got.Differences) != 5 || !got.More || got.Rows != [2]int64{20000, 0} {
		t.Errorf("%d differences, more %v, rows %v", len(got.Differences), got.More, got.Rows)
	}
}

func TestRulesAndRedaction(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, price numeric, email text, password text); insert into t select g, g, 'mail', 'hunter2222' from generate_series(1, 10) g`)
	s.SQL("new", `update t set price = price + 0.005 where id = 3; update t set price = price + 1, email = 'other@example.com', password = 'correct-horse' where id = 4`)
	rules, faults := compare.Compile([]compare.Rule{{Path: "effects:t $.price", Tolerance: &compare.Tolerance{Abs: "0.01"}}})
	redactor, more := compare.NewRedactor([]byte("key"), compare.RedactConfig{Paths: []string{"$..email"}})
	if len(faults)+len(more) > 0 {
		t.Fatal(faults, more)
	}
	o := quick()
	o.Rules, o.Redactor = rules, redactor
	r := run(t, s, o, compare.EffectTable{Primary: "t"})
	got := found(r)
	if n := strings.Count(got, "\n"); n != 3 || !strings.Contains(got, "t changed id=4 price: 4 -> 5\n") || strings.Contains(got, "example.com") || strings.Contains(got, "horse") || strings.Contains(got, "hunter") {
		t.Errorf("found\n%s", got)
	}
	if r.Tables[0].Ruled != 1 {
		t.Errorf("%d ruled", r.Tables[0].Ruled)
	}
}

// Some json is no jsonb: it is compared as texts, and by content where these differ.
func TestJSONThatIsNoJSONB(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, doc json)`)
	s.SQL("old", `insert into t values (1, '{"a": "\u0000", "b": 1}'), (2, '{"a": 1}')`)
	s.SQL("new", `insert into t values (1, '{"b": 1.0, "a": "\u0000"}'), (2, '{"a": "\u0000"}')`)
	want(t, run(t, s, quick(), compare.EffectTable{Primary: "t"}), `t type id=2 doc.a: 1 -> "\u0000"`)
}

func TestRateIsKept(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key); insert into t select generate_series(1, 3000)`)
	o := quick()
	o.Rate = 2000
	began := time.Now()
	run(t, s, o, compare.EffectTable{Primary: "t"})
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("3000 rows at 2000/s took %s", took)
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key); insert into t select generate_series(1, 3000)`)
	s.SQL("new", `delete from t where id = 5`)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := verify.Run(ctx, []verify.Group{{Primary: postgres.Source{DSN: s.DSN("old")}, Candidate: postgres.Source{DSN: s.DSN("new")}, Tables: []compare.EffectTable{{Primary: "t"}}}},
		verify.Options{Again: time.Hour, Progress: func(p verify.Progress) {
			if p.Waits > 0 {
				cancel()
			}
		}})
	if err == nil || ctx.Err() == nil {
		t.Errorf("a comparison that was stopped: %v", err)
	}
}
