package reports

import "testing"

// TestAnotherCandidateHolds: what is said of one version promotes and rolls back no other.
func TestAnotherCandidateHolds(t *testing.T) {
	t.Parallel()
	good := at(fold(quick(), tick("GET /a", 1, 100_000, 0)), 2)
	is(t, good.ForCandidate("2.0"), Promote)
	is(t, good.ForCandidate("3.0"), Hold, "other_version ")
	if want, got := "The verdict is on another version of the candidate than was asked for: on 2.0, not on 3.0.", good.ForCandidate("3.0").Reasons[0].Sentence(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	bad := at(fold(quick(), tick("GET /a", 1, 1000, 500)), 2)
	is(t, bad, Rollback, "divergence_rate GET /a")
	is(t, bad.ForCandidate("3.0"), Hold, "other_version ", "divergence_rate GET /a")
	is(t, bad, Rollback, "divergence_rate GET /a") // untouched

	silent := tick("GET /a", 1, 100_000, 0)
	silent.CandidateVersion = ""
	is(t, at(fold(quick(), silent), 2).ForCandidate("2.0"), Hold, "other_version ")
	is(t, at(fold(quick(), silent), 2).ForCandidate(""), Hold, "other_version ")
}
