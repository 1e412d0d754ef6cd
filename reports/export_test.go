package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// filled returns a value whose every field that can be exported is not zero, however
// deep.
func filled(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("a <text> ü\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(9)
	case reflect.Float64:
		v.SetFloat(0.1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(t, v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		filled(t, key)
		filled(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(t, v.Elem())
	case reflect.Func:
	case reflect.Struct:
		switch v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(noon))
		case divergence.Said:
			said := divergence.NewSaid([]divergence.IssueDecision{{At: noon, Fingerprint: "1-a", Endpoint: "GET /a", State: divergence.BugIssue, Who: "ann"}})
			said.Signed = []divergence.SignOff{{}}
			filled(t, reflect.ValueOf(&said.Signed[0]).Elem())
			v.Set(reflect.ValueOf(said))
		default:
			for i := range v.NumField() {
				filled(t, v.Field(i))
			}
		}
	default:
		t.Fatalf("a field of kind %v: see to it that it is exported", v.Kind())
	}
}

// TestEverythingIsExported: whatever a tick or a context holds stands in an export, also
// what is added later.
func TestEverythingIsExported(t *testing.T) {
	t.Parallel()
	var one divergence.Tick
	filled(t, reflect.ValueOf(&one).Elem())
	line := tickLine(one)
	var whole exportLine
	if err := strictly(line, &whole); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if again, err := readTick(whole.Tick); err != nil || !cmp.Equal(one, again) {
		t.Errorf("a tick: %v, (-want +got)\n%s", err, cmp.Diff(one, again))
	}

	var in Context
	filled(t, reflect.ValueOf(&in).Elem())
	text, err := writeContext(in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := readContext(text)
	if err != nil || !reflect.DeepEqual(in, again) {
		t.Errorf("a context: %v in %s\n%+v\n%+v", err, text, in, again)
	}
	if n := reflect.TypeFor[divergence.Said]().NumField(); n != 3 {
		t.Errorf("what people said has %d fields: export them, see Said.MarshalJSON", n)
	}
	for i := range reflect.TypeFor[Context]().NumField() {
		if f := reflect.TypeFor[Context]().Field(i); f.Type.Kind() == reflect.Func && f.Name != "RulesHash" {
			t.Errorf("%s is a function, whose answers are not exported", f.Name)
		}
	}
}

// exported returns what a judge that has looked exports.
func exported(t testing.TB, j *Judge) string {
	t.Helper()
	var out bytes.Buffer
	if err := j.Export(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func asJSON(t testing.TB, v Verdict) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inOrder is a list of ticks that answers cursors as the store does. Times ascend.
type inOrder struct{ *ledger }

func (l inOrder) Ticks(_ context.Context, _ string, after divergence.Cursor, limit int) ([]divergence.Tick, error) {
	rest := l.ticks
	for len(rest) > 0 && (rest[0].At.Before(after.At) || rest[0].Cursor() == after) {
		rest = rest[1:]
	}
	return rest[:min(limit, len(rest))], nil
}

// randomTick is any tick: versions, rules and policies come and go, and counts make no
// sense.
func randomTick(r *rand.Rand, i int) divergence.Tick {
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	t := tick(pick("GET /a", "GET /b", "POST /c <\"ü>"), i, uint64(r.IntN(200)), 0)
	if r.IntN(10) == 0 {
		t.K, t.B, t.C = uint64(r.IntN(5)), uint64(r.IntN(3)), uint64(r.IntN(3))
	}
	if r.IntN(40) == 0 {
		t.RulesHash, t.PolicyHash, t.CandidateVersion = pick("r1", "r2", ""), pick("", quick().Hash(), "else"), pick("2.0", "2.1", "")
		t.Zero = []string{pick("1-aa", "1-bb")}
	}
	counts := reflect.ValueOf(&t).Elem()
	if f := counts.Field(r.IntN(counts.NumField())); f.Kind() == reflect.Uint64 && r.IntN(3) == 0 {
		f.SetUint(uint64(r.IntN(1000)))
	}
	t.Seq, t.Instance = uint64(i+1), pick("one", "two")
	return t
}

// TestAnExportComesToTheVerdict: whatever the ticks, the policy and the context are, what
// is exported comes to the same verdict, byte by byte, and says that it was the one in
// force; with more ticks likewise.
func TestAnExportComesToTheVerdict(t *testing.T) {
	t.Parallel()
	seen := map[Decision]int{}
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 9))
		l := &ledger{}
		now := noon
		j := judgeOf(l, func(c *JudgeConfig) {
			c.Ticks = inOrder{l}
			c.Policy.Zero = []string{"$.amount"}[:r.IntN(2)]
			c.Policy.Endpoints = map[string]Waiver{"GET /b": {Waived: "2026-12-31 ann"}}
			c.Now = func() time.Time { return now }
			c.Context = func(context.Context) (Context, error) {
				return Context{
					RulesVersion: "r", Step: 100, Paused: r.IntN(5) == 0, Declared: []string{"GET /never"},
					RulesHash:  func(string) string { return "r1" },
					Said:       divergence.NewSaid([]divergence.IssueDecision{{At: noon, Fingerprint: "1-aa", Endpoint: "GET /a", State: "accepted", Who: "ann"}}),
					Accounting: divergence.Accounting{Received: 7, Unmirrored: map[string]int64{"unsafe": 2}},
					Caught:     map[string]Caught{"GET /a": {Share: 0.9, N: 10, At: noon}},
				}, nil
			}
			c.Decided = func(Verdict, Folded) string { return "head" }
		})
		for at := range 5 {
			for i := range 40 {
				l.write(randomTick(r, 40*at+i))
			}
			now = noon.Add(time.Duration(40*at+41)*time.Second + 123456*time.Nanosecond)
			live := j.Look(t.Context())
			got, err := Replay(strings.NewReader(exported(t, j)))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if want := asJSON(t, live); want != asJSON(t, got.Verdict) || !got.InForce {
				t.Fatalf("seed %d, in force %v (-live +replayed)\n%s", seed, got.InForce, cmp.Diff(want, asJSON(t, got.Verdict)))
			}
			seen[live.Decision]++
		}
	}
	if len(seen) < 3 {
		t.Errorf("the ticks led to %v only; the test shows too little", seen)
	}
}

// TestAnExportHasLateTicksWhereTheyWereFolded: ticks of several instances come to be read in
// whatever order; the export is in that of the verdict in force.
func TestAnExportHasLateTicksWhereTheyWereFolded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		var all []divergence.Tick
		for i := range 120 {
			x := tick("GET /a", i, uint64(r.IntN(200)), 0)
			x.K = uint64(r.IntN(2))
			x.Instance, x.Seq = string(rune('a'+r.IntN(3))), uint64(i+1)
			all = append(all, x)
		}
		now, l := noon, &ledger{}
		j := judgeOf(l, func(c *JudgeConfig) {
			c.Ticks, c.Now = inOrder{l}, func() time.Time { return now }
		})
		hidden, late := map[int]bool{}, 0
		for n := 5; n <= len(all); n += 5 {
			for i := n - 5; i < n; i++ {
				hidden[i] = r.IntN(4) == 0
			}
			l.ticks = nil
			for i, x := range all[:n] {
				if hidden[i] && (r.IntN(3) == 0 || i < n-40) { // later than the look-back waits for a restart
					hidden[i], late = false, late+1
				}
				if !hidden[i] {
					l.ticks = append(l.ticks, x)
				}
			}
			now = noon.Add(time.Duration(n) * time.Second)
			live := j.Look(t.Context())
			got, err := Replay(strings.NewReader(exported(t, j)))
			if err != nil || !got.InForce || asJSON(t, got.Verdict) != asJSON(t, live) {
				t.Fatalf("seed %d after %d ticks: in force %v, %v", seed, n, got.InForce, err)
			}
		}
		if late == 0 || len(j.latest.Load().basis.late) == 0 {
			t.Error("no tick was late; the test shows nothing")
		}
	}
}

// TestAnExportOfOtherTicksSaysSo: the verdict in force was folded in another order.
func TestAnExportOfOtherTicksSaysSo(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	l.write(tick("GET /a", 5, 100, 0), tick("GET /a", 6, 100, 0))
	j := judgeOf(l, nil)
	j.Look(t.Context())
	l.ticks[0], l.ticks[1] = l.ticks[1], l.ticks[0]
	if got, err := Replay(strings.NewReader(exported(t, j))); err != nil || got.InForce {
		t.Errorf("in force: %v, %v", got.InForce, err)
	}
	l.goAway(divergence.ErrAway)
	var out bytes.Buffer
	if err := j.Export(t.Context(), &out); !errors.Is(err, divergence.ErrAway) || out.Len() > 0 {
		t.Errorf("an export without the store: %v, %d bytes", err, out.Len())
	}
	j.Look(t.Context())
	l.goAway(nil)
	if err := j.Export(t.Context(), &out); !errors.Is(err, divergence.ErrAway) || out.Len() > 0 {
		t.Errorf("an export of a verdict without evidence: %v, %d bytes", err, out.Len())
	}
}

// exportOfThree is an export with a head, three ticks and an end.
func exportOfThree(t testing.TB) string {
	l := &ledger{}
	for i := range 3 {
		l.write(tick("GET /a", i, 100, uint64(i)))
	}
	j := judgeOf(l, nil)
	j.Look(context.Background())
	return exported(t, j)
}

func TestReplayNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole := exportOfThree(t)
	lines := strings.SplitAfter(whole, "\n")
	swapped := strings.Join([]string{lines[0], lines[2], lines[1], lines[3], lines[4]}, "")
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "the file ends after line 0"},
		{"no head", strings.Join(lines[1:], ""), "line 1: want the head"},
		{"a page", "<html>", "line 1: it was cut"},
		{"cut between lines", strings.Join(lines[:3], ""), "the file ends after line 3 without the line that ends it"},
		{"cut in a line", whole[:len(whole)-9], "line 5: it was cut"},
		{"a tick less", lines[0] + strings.Join(lines[2:], ""), "line 4: end.ticks: the file has 2, and its end says 3"},
		{"a tick twice", lines[0] + lines[1] + strings.Join(lines[1:], ""), "end.ticks: the file has 4"},
		{"ticks swapped", swapped, "end.digest"},
		{"a count edited", strings.Replace(whole, `"n":100`, `"n":900`, 1), "line 5: end.digest"},
		{"a count of another kind", strings.Replace(whole, `"n":100`, `"n":"100"`, 1), "line 2: tick.n: cannot be a string"},
		{"a huge count", strings.Replace(whole, `"n":100`, `"n":18446744073709551615`, 1), "line 2: tick.n: want at most"},
		{"an unknown field", strings.Replace(whole, `"n":100`, `"nn":100`, 1), `line 2: tick.unknown field "nn"`},
		{"another service", strings.Replace(whole, `"service":"shop","endpoint"`, `"service":"web","endpoint"`, 1), `line 2: tick.service: want "shop"`},
		{"a later format", strings.Replace(whole, `"format":1`, `"format":2`, 1), "line 1: head.format: this release reads 1"},
		{"another limit", strings.Replace(whole, `"MaxDivergenceRate":0.`, `"MaxDivergenceRate":0.9`, 1), "line 1: head.policy_version"},
		{"no limit", strings.Replace(whole, `"Alpha":0.`, `"Alpha":1.`, 1), "line 1: head.policy: alpha"},
		{"a verdict edited", strings.Replace(whole, `"verdict":"hold"`, `"verdict":"promote"`, 1), "line 5: end.verdict.verdict: the evidence in the file comes to another one"},
		{"a context edited", strings.Replace(whole, `"step":100`, `"step":101`, 1), "line 5: end.verdict.step"},
		{"a context of another kind", strings.Replace(whole, `"step":100`, `"step":"x"`, 1), "line 5: end.context.step: cannot be a string"},
		{"more", whole + "{}\n", "line 6: there is more behind the end"},
		{"two in one", lines[0] + `{"tick":{},"end":{}}` + "\n", "line 2: want a tick or the end"},
	} {
		if c.text == whole {
			t.Errorf("%s: the text was not changed", c.name)
		}
		if _, err := Replay(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	if got, err := Replay(strings.NewReader(whole)); err != nil || got.Folded.Ticks != 3 {
		t.Errorf("the whole one: %+v, %v", got.Folded, err)
	}
}

// FuzzReplay: no text makes the reader panic, and what it takes comes to the same again.
func FuzzReplay(f *testing.F) {
	whole := exportOfThree(f)
	f.Add(whole)
	f.Add(strings.Replace(whole, `"n":100`, `"n":1099511627776`, -1))
	f.Add(strings.Replace(whole, `"as_of":"2026`, `"as_of":"0001`, -1))
	f.Fuzz(func(t *testing.T, text string) {
		one, err := Replay(strings.NewReader(text))
		if err != nil {
			return
		}
		if again, err := Replay(strings.NewReader(text)); err != nil || asJSON(t, one.Verdict) != asJSON(t, again.Verdict) {
			t.Errorf("%v: another verdict at the second time", err)
		}
	})
}

// FuzzReplayTicks: whatever counts stand in ticks, with a digest that is right, they come
// to some verdict.
func FuzzReplayTicks(f *testing.F) {
	lines := strings.SplitAfter(exportOfThree(f), "\n")
	ticks := strings.Join(lines[1:4], "")
	f.Add(ticks)
	f.Add(strings.Replace(ticks, `"n":100`, `"n":1099511627776`, -1))
	f.Add(strings.Replace(ticks, `"timed":100`, `"timed":7,"slow_b":1099511627776,"b":9,"not_comparable":3,"unanswered":5`, -1))
	f.Fuzz(func(t *testing.T, text string) {
		p := replay{read: 1}
		if err := p.take([]byte(lines[0])); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			p.read++
			if err := p.take([]byte(line)); err != nil || p.end != nil {
				return
			}
		}
		p.end = &exportEnd{Folded: p.evidence.Folded(), AsOf: noon.Add(time.Minute), Context: json.RawMessage("{}"), Verdict: json.RawMessage("{}")}
		if _, err := p.verdict(); err == nil || !strings.HasPrefix(err.Error(), "verdict.") {
			t.Errorf("%v, want one about the verdict, which is empty", err)
		}
	})
}

func BenchmarkTickLine(b *testing.B) {
	x := tick("GET /orders/{id}", 7, 12, 3)
	b.SetBytes(int64(len(tickLine(x))))
	for b.Loop() {
		tickLine(x)
	}
}
