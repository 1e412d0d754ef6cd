package divergence

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// TestTicksTellWhatWasFoundAtZeroPlaces: from the exchange to what a judge reads.
func TestTicksTellWhatWasFoundAtZeroPlaces(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "zero", s, s, Limits{})
	judge := newJudge(t)
	var want string
	judge.Zero, _ = compare.ParseZero([]string{"$.amount"})
	source := &listSource{}
	for i, bodies := range [][2]string{{`{"amount":1}`, `{"amount":1}`}, {`{"amount":1}`, `{"amount":2}`}, {`{"amount":3}`, `{"amount":4}`}, {`{"note":"a"}`, `{"note":"b"}`}} {
		x := pair(i, "GET /zero", 200, 200)
		x.Service = "zeroes"
		for leg, text := range bodies {
			a := &x.Legs[leg].Response
			a.Headers = []parallax.Field{{Name: "Content-Type", Value: "application/json"}}
			a.Body = parallax.Body{Bytes: []byte(text), Size: int64(len(text))}
		}
		if i == 1 {
			want = compare.Compare(x, compare.Input{Rules: judge.Rules}).Differences[0].Fingerprint
		}
		r.ledger.Enter(x.Stamp())
		r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
		source.list = append(source.list, x)
	}
	worker := NewWorker(WorkerConfig{Source: source, Recorder: r.Recorder, Ledger: r.ledger, Goroutines: 1,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Judge: func(string) *Judge { return judge }})
	for range len(source.list) {
		worker.all(t.Context(), source.list[:1])
		source.list = source.list[1:]
	}
	r.mustFlush(t)
	ticks, err := s.Ticks(t.Context(), "zeroes", Cursor{}, 0)
	if err != nil || len(ticks) != 1 {
		t.Fatalf("%+v, %v", ticks, err)
	}
	if got := ticks[0]; got.K != 3 || got.N != 4 {
		t.Errorf("%d of %d diverged", got.K, got.N)
	}
	if len(ticks[0].Zero) == 0 || ticks[0].Zero[0] != want {
		t.Errorf("at zero places: %q, want %s first", ticks[0].Zero, want)
	}
	if diff := cmp.Diff(1, len(ticks[0].Zero)); diff != "" {
		t.Errorf("issues (-want +got):\n%s%q", diff, ticks[0].Zero)
	}
}

// TestABoardThatDidNotAskSaysSo: what nobody told this process may be a bug.
func TestABoardThatDidNotAskSaysSo(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	b := newBoard(s, t.TempDir(), func() time.Time { return noon })
	if err := b.Open("asked"); err != nil {
		t.Fatal(err)
	}
	if _, known := b.Said("asked"); known {
		t.Error("it knows before it asked")
	}
	if err := b.refresh(t.Context(), "asked"); err != nil {
		t.Fatal(err)
	}
	if said, known := b.Said("asked"); !known || len(said.Bugs) > 0 {
		t.Errorf("asked: %v, %v", said, known)
	}
	bug := IssueDecision{At: noon, Fingerprint: "1-0123456789abcdef", Endpoint: "GET /a", State: BugIssue, Who: "ann"}
	if err := b.Decide(t.Context(), "asked", bug); err != nil {
		t.Fatal(err)
	}
	if said, _ := b.Said("asked"); !cmp.Equal(said.Bugs, []IssueDecision{bug}) {
		t.Errorf("bugs: %+v", said.Bugs)
	}
}
