package splittest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"parallax"
	"parallax/mirror/split"
	"parallax/mirror/split/splittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	faults atomic.Pointer[string]
}

func (r *recorder) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.faults.CompareAndSwap(nil, &text)
}

// scenario runs the scenario against a server and returns the first fault.
func scenario(t *testing.T, pick func(step int, user string) parallax.Leg, want []int, setStep func(to int, step *atomic.Int64)) string {
	t.Helper()
	var step atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, pick(int(step.Load()), r.Header.Get("X-User")).String())
	}))
	defer server.Close()
	r := &recorder{TB: t}
	splittest.Scenario{
		URL: server.URL, Users: 400, Connections: 4, Want: want,
		Name:    func(r *http.Request, user string) { r.Header.Set("X-User", user) },
		SetStep: func(_ context.Context, to int) error { setStep(to, &step); return nil },
	}.Run(r)
	if text := r.faults.Load(); text != nil {
		return *text
	}
	return ""
}

func TestScenarioSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	set := func(to int, step *atomic.Int64) { step.Store(int64(to)) }
	by := func(bucket func(step int, user string) int) func(int, string) parallax.Leg {
		return func(step int, user string) parallax.Leg {
			if bucket(step, user) < step {
				return parallax.Candidate
			}
			return parallax.Primary
		}
	}
	sticky := by(func(_ int, user string) int { return split.Bucket("orders", user) })
	if fault := scenario(t, sticky, splittest.Shares("orders", 400), set); fault != "" {
		t.Errorf("a splitter that is right: %s", fault)
	}
	f := func(name, want string, pick func(int, string) parallax.Leg, setStep func(int, *atomic.Int64)) {
		t.Helper()
		if fault := scenario(t, pick, nil, setStep); !strings.Contains(fault, want) {
			t.Errorf("%s: %q, want %q in it", name, fault, want)
		}
	}
	f("a rollback is not obeyed", "after step 0 was acknowledged", sticky, func(to int, step *atomic.Int64) {
		if to > 0 {
			step.Store(int64(to))
		}
	})
	var turn atomic.Int64
	f("requests take turns", "and by the", by(func(int, string) int { return int(turn.Add(3571) % split.Buckets) }), set)
	f("each step shuffles users", "against its direction", by(func(step int, user string) int { return split.Bucket(fmt.Sprint(step), user) }), set)
	f("too many users", "on the candidate, which is not", by(func(_ int, user string) int { return split.Bucket("orders", user) / 2 }), set)
	if fault := scenario(t, sticky, splittest.Shares("another", 400), set); !strings.Contains(fault, "users on the candidate: ") {
		t.Errorf("other users than with the salt: %q", fault)
	}
}

// TestSharesAreThoseOfTheDocuments: what is computed here is what docs/split.md says
// was counted.
func TestSharesAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	got := splittest.Shares("orders", splittest.Many)
	if want := []int{0, 98, 511, 2554, 5041, 10000, 2554, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	text, err := os.ReadFile("../../../docs/split.md")
	if want := "0, 98, 511, 2554, 5041, 10000, 2554 and 0\n"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%q is not in docs/split.md, %v", want, err)
	}
}
