package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// simulated is what became of many short lives of one noise model each.
type simulated struct {
	early, late int // exchanges that diverged: of the first 20, and after them
}

// simulate plays runs of n exchanges with a fresh model each; one is the answer of
// the old version, candidate that of the new one.
func simulate(runs, n int, one, candidate func(r *rand.Rand) *parallax.Call) (out simulated) {
	for run := range runs {
		r, model := rand.New(rand.NewPCG(uint64(run), 7)), &NoiseModel{}
		for i := range n {
			p, s, c := one(r), one(r), candidate(r)
			got := Compare(exchange(p, c, s), Input{Noise: model})
			model.Add(got.Sample)
			if got.Outcome == Diverged && i < 20 {
				out.early++
			} else if got.Outcome == Diverged {
				out.late++
			}
		}
	}
	return out
}

func fieldOf(format string, sides int) func(r *rand.Rand) *parallax.Call {
	return func(r *rand.Rand) *parallax.Call { return jsonAnswer(fmt.Sprintf(format, r.IntN(sides))) }
}

// TestNoiseFigures holds the figures that the documents state. The seeds are fixed,
// so that the same counts come out each time; the bounds leave room for a change of
// the model that keeps what is promised.
func TestNoiseFigures(t *testing.T) {
	t.Parallel()
	const runs, n = 50, 300
	f := func(name string, one, candidate func(r *rand.Rand) *parallax.Call, early, late int) {
		t.Helper()
		got := simulate(runs, n, one, candidate)
		t.Logf("%s: %d of %d diverged among the first 20, %d of %d later", name, got.early, runs*20, got.late, runs*(n-20))
		if got.early > early || got.late > late {
			t.Errorf("%s: %+v, want at most %d and %d", name, got, early, late)
		}
	}
	digit := fieldOf(`{"x":%d}`, 10)
	f("a digit", digit, digit, 25, 3)
	element := fieldOf(`[{"id":1,"x":5},{"id":2,"x":%d},{"id":3,"x":5}]`, 10)
	f("a digit in an element", element, element, 25, 3)
	only := fieldOf(`[%d]`, 10)
	f("a digit as an element", only, only, 25, 3)
	inText := fieldOf(`{"x":"there are %d of them"}`, 10)
	f("a digit in a text", inText, inText, 25, 3)
	coin := func(r *rand.Rand) *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"x":%t}`, r.IntN(2) == 0)) }
	f("a coin", coin, coin, 90, 5)
	f("a digit, the candidate's is always 0", digit, fieldOf(`{"x":%d}`, 1), 25, 3)
}

// TestWrongAmongDigitsIsFound: where the old version answers with a digit, a
// candidate that answers something else there is excused where the secondary
// differs too, until that is no longer likely to be chance.
func TestWrongAmongDigitsIsFound(t *testing.T) {
	t.Parallel()
	got := simulate(50, 600, fieldOf(`{"x":%d}`, 10), func(*rand.Rand) *parallax.Call { return jsonAnswer(`{"x":"none"}`) })
	if got.early+got.late < 50*600 {
		t.Errorf("%d of %d diverged; another type is no digit", got.early+got.late, 50*600)
	}
	rare := func(r *rand.Rand) *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"x":%t}`, r.IntN(1000) == 0)) }
	got = simulate(5, 2000, rare, func(*rand.Rand) *parallax.Call { return jsonAnswer(`{"x":true}`) })
	if missed := 5*2000 - got.early - got.late; missed > 5*20 {
		t.Errorf("%d of %d wrong answers were taken for a flake that comes once in 1000", missed, 5*2000)
	}
}

// TestQuietPlaceIsAlwaysFound: whatever noise there is beside it, a candidate that
// differs at a place where the old version never does is found every time.
func TestQuietPlaceIsAlwaysFound(t *testing.T) {
	t.Parallel()
	one := fieldOf(`{"x":%d,"price":10}`, 10)
	wrong := fieldOf(`{"x":%d,"price":11}`, 10)
	if got := simulate(20, 300, one, wrong); got.early+got.late != 20*300 {
		t.Errorf("%d of %d diverged", got.early+got.late, 20*300)
	}
}

// TestUnlikeShapesAreNotHeldAgainstTheCandidate: values of two shapes, one rare.
// Each leg is other than both others equally often, so it must count equally often.
func TestUnlikeShapesAreNotHeldAgainstTheCandidate(t *testing.T) {
	t.Parallel()
	one := fieldOf(`{"x":%d}`, 100_000)
	if got := simulate(50, 300, one, one); got.late > 100 {
		t.Errorf("%d of %d diverged after the beginning", got.late, 50*280)
	}
}

// TestNoiseEValues pins the e-value of two counts to exact fractions, computed with
// whole numbers: (2b)! (2c)! / (2^(b+c) b! c! (b+c)!).
func TestNoiseEValues(t *testing.T) {
	t.Parallel()
	f := func(b, c, want float64) {
		t.Helper()
		if got := lnNoiseE(b, c); math.Abs(got-want) > 1e-9 {
			t.Errorf("ln E(%g, %g) = %.12f, want %.12f", b, c, got, want)
		}
	}
	f(1, 1, -0.693147180560)
	f(12, 0, 6.492534240069)
	f(13, 0, 7.146460707476)
	f(20, 3, 5.223454276143)
	f(30, 5, 7.890530981850)
	f(100, 50, 5.762037307217)
	f(400, 300, 3.665659478427)
	f(1000, 900, -1.367932513526)
	f(50, 50, -2.530876403977)
	blames := func(b, c uint32, want bool) {
		t.Helper()
		if got := (noiseCount{b: b, c: c}).blamed(); got != want {
			t.Errorf("candidate alone %d times, secondary %d: blamed %t", b, c, got)
		}
	}
	for c, first := range map[uint32]uint32{0: 13, 1: 18, 5: 29, 20: 58, 100: 174, 1000: 1221} {
		blames(first-1, c, false)
		blames(first, c, true)
	}
	blames(0, 13, false)
}

// TestNoiseSurvivesARestart: what a model has learnt is the same when it is read
// again, within its bounds.
func TestNoiseSurvivesARestart(t *testing.T) {
	t.Parallel()
	basis := NoiseBasis{Rules: "r1", Primary: "1.0", Candidate: "2.0"}
	model := &NoiseModel{}
	model.Settle("GET /", basis)
	for i := range 40 {
		s := NoiseSample{Endpoint: "GET /", Complete: true, Secondary: []string{"$.x changed number:0"}}
		if i%2 == 0 {
			s.SecondaryAlone = s.Secondary
		}
		model.Add(s)
	}
	text, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	read := &NoiseModel{}
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(model.Places("GET /"), read.Places("GET /")); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	read.Settle("GET /", basis)
	if n := len(read.Places("GET /")); n != 1 {
		t.Errorf("%d places under the same rules and versions, want 1", n)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"version":2}`, `{"version":1,"endpoints":{"e":{"exchanges":1,"places":{"x":[2,0,0]}}}}`} {
		if err := read.UnmarshalJSON([]byte(bad)); err == nil || len(read.Places("GET /")) > 0 {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestNoiseIsOfOneVersion: other rules and another primary start anew; another
// candidate keeps what is known of the old version.
func TestNoiseIsOfOneVersion(t *testing.T) {
	t.Parallel()
	f := func(name string, next NoiseBasis, want []NoisePlace) {
		t.Helper()
		model := &NoiseModel{}
		model.Settle("e", NoiseBasis{"r1", "1.0", "2.0"})
		for range 4 {
			model.Add(NoiseSample{Endpoint: "e", Complete: true, Secondary: []string{"$.x"}, CandidateAlone: []string{"$.x"}})
		}
		model.Settle("e", next)
		if diff := cmp.Diff(want, model.Places("e")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	all := []NoisePlace{{Place: "$.x", Exchanges: 4, Secondary: 4, CandidateOnly: 4, EValue: 4.375, Usual: true}}
	all[0].EValue = noiseCount{b: 4}.eValue()
	f("the same", NoiseBasis{"r1", "1.0", "2.0"}, all)
	f("nothing said", NoiseBasis{}, all)
	f("other rules", NoiseBasis{"r2", "1.0", "2.0"}, nil)
	f("another primary", NoiseBasis{"r1", "1.1", "2.0"}, nil)
	f("another candidate", NoiseBasis{"r1", "1.0", "2.1"}, []NoisePlace{{Place: "$.x", Exchanges: 4, Secondary: 4, Usual: true}})
}

func TestLongPlacesAreNotLearnt(t *testing.T) {
	t.Parallel()
	model := &NoiseModel{}
	model.Add(NoiseSample{Endpoint: "e", Complete: true, Secondary: []string{"$." + strings.Repeat("x", maxNoisePlace)}})
	if places := model.Places("e"); len(places) != 0 {
		t.Errorf("learnt %v", places)
	}
}
