package compare

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// The partner of a session token may stand nowhere in an exchange, and is named by
// the reason of a difference and by the pairs that are stored.
func TestPartnersOfSecretsAreSecret(t *testing.T) {
	t.Parallel()
	set, faults := ids.Compile([]ids.Config{{Name: "login", From: ids.At("POST /login $.token"), In: ids.At("$.token")}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	known := []ids.Known{
		{Name: "login", Leg: parallax.Primary, Value: canary(1), To: parallax.Candidate, State: ids.Paired, Partner: canary(2)},
		{Name: "login", Leg: parallax.Candidate, Value: canary(3), To: parallax.Primary, State: ids.Paired, Partner: canary(4)},
		{Name: "session", Leg: parallax.Primary, Value: "/x\n" + canary(5), To: parallax.Candidate, State: ids.Paired, Partner: "/x\n" + canary(6)},
	}
	x := exchange(jsonAnswer(`{"token":"`+canary(1)+`"}`), jsonAnswer(`{"token":"`+canary(3)+`"}`))
	c := Compare(x, Input{IDs: &Identifiers{Set: set, View: ids.NewView(known)}})
	if len(c.Differences) != 1 || leak(c.Differences[0].Suppressed.Detail) < 0 {
		t.Fatalf("no reason names a value: %+v", c.Differences)
	}
	c.Pairs = known
	stored, clean := redactor(t, RedactConfig{}).Both(x, c)
	if text := fmt.Sprintf("%s %+v", dump(t, stored), clean); leak(text) >= 0 {
		t.Errorf("a secret is left: %s", text)
	}
}

// What is learnt about noise is kept on disk, so that no place may be named after a
// secret.
func TestNoiseIsNotNamedAfterSecrets(t *testing.T) {
	t.Parallel()
	x := exchange(jsonAnswer(`{"token":"`+canary(1)+`","of":{"`+canary(1)+`":1}}`), jsonAnswer(`{}`))
	sample := NoiseSample{Endpoint: "GET /x", Secondary: []string{"$.a", "$.of['" + canary(1) + "']"}, CandidateAlone: []string{"$.b"}}
	got := redactor(t, RedactConfig{}).Comparison(x, Comparison{Sample: sample}).Sample
	want := NoiseSample{Endpoint: "GET /x", Secondary: []string{"$.a"}, CandidateAlone: []string{"$.b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(sample.Secondary) != 2 {
		t.Error("the sample itself was changed")
	}
}
