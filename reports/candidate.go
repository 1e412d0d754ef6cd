package reports

import "slices"

// ForCandidate returns the verdict as somebody may use it who is about to release one
// version of the candidate: it is hold, with the reason other_version, unless the
// verdict is on that very version. A candidate that does not tell its version is not
// known to be it.
func (v Verdict) ForCandidate(version string) Verdict {
	if v.CandidateVersion == version && said(version) {
		return v
	}
	found := v.CandidateVersion
	if !said(found) {
		found = "one that does not tell its version"
	}
	v.Decision, v.Final = Hold, false
	v.Reasons = append([]Reason{{Code: OtherVersion, Detail: "on " + found + ", not on " + version}}, slices.Clone(v.Reasons)...)
	return v
}
