// Package reports turns counts into statements: how often two versions of a
// service differ and how sure that is, whether the candidate may take over, and
// why not yet.
//
// Everything a statement rests on is a value. A [divergence.Tick] says what was
// counted on one endpoint between two flushes; [Evidence] is a fold over ticks;
// [Evidence.Verdict] reads the fold at a time that is handed in. So the same
// ticks under the same [Promotion] policy give the same [Verdict], in a running
// server, in a test, and years later from an export.
//
// The tests behind a verdict are e-processes: they hold at every moment, so a
// verdict may be read after each request without inflating its error
// probability. [LnPass] and [LnFail] are the two sides of the test of a rate,
// [UpperLimit] and [LowerLimit] the confidence sequence they imply.
//
// What the package promises:
//
//   - promote is said of a version whose divergence rate on any one required
//     endpoint is at or above the threshold with probability at most alpha;
//   - rollback is said of a version whose rates are all at or below their
//     thresholds with probability at most beta;
//   - everything else is hold, with a [Reason] for each thing that is missing.
//
// The rates are over what was compared. What was lost, or could not be compared
// although the primary answered, is not missing at random, so more of it than the
// policy's max_lost_share holds the verdict. Exchanges whose primary failed are
// left out on both sides, since they say nothing about the candidate: an endpoint
// that fails at times on the primary is judged by the others. A waiver is the way
// out where a share cannot be brought down.
//
// What is never mirrored has no pairs. While the candidate is live, such an endpoint is judged
// by what callers got from either leg in the same minutes; see [Unpaired].
//
// Evidence is about one build of the candidate as long as the candidate tells its
// version. One that does not ([Verdict.VersionKnown] is false) hands its evidence,
// and a decision that was reached on it, to the next build until somebody starts
// new evidence by hand: [State.RestartEvidence], [NewEvidenceFrom].
//
// Two types have effects and stand apart: [Judge] reads ticks on a clock that is
// handed in and keeps the latest verdict, [StateFile] keeps the step on disk.
package reports
