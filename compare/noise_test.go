package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// noisyShop plays n exchanges with one model and returns what became of the
// differences at $.x.
func noisyShop(n int, answers func(i int) (primary, candidate, secondary string)) (noise, diverged int, model *NoiseModel) {
	model = &NoiseModel{}
	for i := range n {
		p, c, s := answers(i)
		got := Compare(exchange(jsonAnswer(p), jsonAnswer(c), jsonAnswer(s)), Input{Noise: model})
		noise, diverged = noise+got.Noise, diverged+got.Divergences
		model.Add(got.Sample)
	}
	return noise, diverged, model
}

func TestRandomDigitIsNoise(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	digit := func() string { return fmt.Sprintf(`{"x":%d}`, random.IntN(10)) }
	noise, diverged, _ := noisyShop(5000, func(int) (string, string, string) { return digit(), digit(), digit() })
	if noise < 4400 || diverged > 1 {
		t.Errorf("%d noise, %d diverged; a random digit must come out as noise", noise, diverged)
	}
}

func TestTimestampIsNoise(t *testing.T) {
	t.Parallel()
	at := func(i int) string { return fmt.Sprintf(`{"x":"2026-11-21T12:00:00.%06dZ"}`, i) }
	noise, diverged, _ := noisyShop(500, func(i int) (string, string, string) { return at(3 * i), at(3*i + 1), at(3*i + 2) })
	if noise != 500 || diverged != 0 {
		t.Errorf("%d noise, %d diverged, want 500 and 0", noise, diverged)
	}
}

// A field that the old version itself changes once in fifty answers must not
// hide a candidate that is always wrong there.
func TestBrokenAtNoisyPlaceIsFound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	old := func() string { return fmt.Sprintf(`{"x":%d}`, random.IntN(50)/49) }
	_, diverged, model := noisyShop(300, func(int) (string, string, string) { return old(), `{"x":7}`, old() })
	if diverged < 250 {
		t.Errorf("%d of 300 diverged", diverged)
	}
	places := model.Places("GET /orders/{id}")
	if len(places) != 1 || !places[0].Blamed {
		t.Errorf("the model holds %+v, want one place, blamed", places)
	}
}

func TestSteadyCandidateAtRandomPlaceIsFound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	digit := func() string { return fmt.Sprintf(`{"x":%d}`, random.IntN(2)) }
	_, diverged, _ := noisyShop(400, func(int) (string, string, string) { return digit(), `{"x":7}`, digit() })
	if diverged < 300 {
		t.Errorf("%d of 400 diverged", diverged)
	}
}

func TestNoiseWithoutSecondaryIsRemembered(t *testing.T) {
	t.Parallel()
	_, _, model := noisyShop(3, func(i int) (string, string, string) {
		return fmt.Sprintf(`{"x":%d}`, i), fmt.Sprintf(`{"x":%d}`, i+1), fmt.Sprintf(`{"x":%d}`, i+2)
	})
	got := Compare(exchange(jsonAnswer(`{"x":1}`), jsonAnswer(`{"x":2}`)), Input{Noise: model})
	if got.Outcome != Match || got.Noise != 1 {
		t.Errorf("%v with %d noise, want a match with 1", got.Outcome, got.Noise)
	}
}

// TestLnNoiseE pins the e-value to closed forms: with c = 0 it is the central
// binomial coefficient of b over 2 to the power of b.
func TestLnNoiseE(t *testing.T) {
	t.Parallel()
	f := func(b, c, want float64) {
		t.Helper()
		if got := lnNoiseE(b, c); math.Abs(got-math.Log(want)) > 1e-12 {
			t.Errorf("lnNoiseE(%g, %g) = %.15f, want %.15f", b, c, got, math.Log(want))
		}
	}
	f(0, 0, 1)
	f(1, 0, 1)
	f(2, 0, 1.5)
	f(3, 0, 2.5)
	f(10, 0, 184756./1024)
	f(13, 0, 10400600./8192) // the first above 1000
	f(5, 5, 893025./3628800)
}

func TestSwappedRolesAreNotBlamed(t *testing.T) {
	t.Parallel()
	// The secondary differs more often than the candidate: nothing to blame.
	model := &NoiseModel{}
	for range 100 {
		model.Add(NoiseSample{Endpoint: "e", Complete: true, Secondary: []string{"$.x changed"}, SecondaryAlone: []string{"$.x changed"}})
	}
	want := []NoisePlace{{Place: "$.x changed", Exchanges: 100, Secondary: 100, SecondaryOnly: 100, Usual: true}}
	if diff := cmp.Diff(want, model.Places("e")); diff != "" {
		t.Error(diff)
	}
}

func TestNoiseModelIsBounded(t *testing.T) {
	t.Parallel()
	model := &NoiseModel{}
	for i := range 2 * maxNoisePlaces {
		model.Add(NoiseSample{Endpoint: "e", Complete: true, CandidateAlone: []string{fmt.Sprintf("$.c%d changed", i)}})
	}
	if n := len(model.endpoints["e"].places); n != maxNoisePlaces/2 {
		t.Errorf("%d candidate-only places, want %d", n, maxNoisePlaces/2)
	}
	for i := range 2 * maxNoisePlaces {
		model.Add(NoiseSample{Endpoint: "e", Complete: true, Secondary: []string{fmt.Sprintf("$.s%d changed", i)}})
	}
	if n := len(model.endpoints["e"].places); n != maxNoisePlaces {
		t.Errorf("%d places, want %d", n, maxNoisePlaces)
	}
	for i := range 2 * maxNoiseEndpoints {
		model.Add(NoiseSample{Endpoint: fmt.Sprint(i), Secondary: []string{"$.x changed"}})
	}
	if n := len(model.endpoints); n != maxNoiseEndpoints {
		t.Errorf("%d endpoints, want %d", n, maxNoiseEndpoints)
	}
}

func TestFailedSecondaryIsNoSample(t *testing.T) {
	t.Parallel()
	dead := &parallax.Call{Err: parallax.CallErr{Kind: parallax.Timeout}}
	got := Compare(exchange(jsonAnswer(`{"x":1}`), jsonAnswer(`{"x":2}`), dead), Input{})
	if got.Sample.Complete || len(got.Sample.Secondary) > 0 || got.Outcome != Diverged {
		t.Errorf("outcome %v, sample %+v", got.Outcome, got.Sample)
	}
}
