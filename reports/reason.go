package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Code says why a verdict is what it is. The codes are a closed list.
type Code string

// The reasons for a verdict. Those without an endpoint concern the service.
const (
	// Not enough was compared yet; more of the same traffic will do.
	InsufficientSamples Code = "insufficient_samples"
	// Too many exchanges diverge, or too many to be sure yet that it is few.
	DivergenceRate Code = "divergence_rate"
	// The candidate fails where the primary does not.
	CandidateErrors Code = "candidate_errors"
	// The candidate failed too often while callers got its answers: K of the N requests that it
	// answered lately. It rolls back within seconds, whatever the tests say.
	LiveErrors Code = "live_errors"
	// The candidate changes another number of rows than the primary, or none, in requests that
	// only one of them is asked: Detail says which table and how. It holds, and never rolls back.
	LiveEffects Code = "live_effects"
	// The candidate is slower.
	TooSlow Code = "slower"
	// Too many mirrored exchanges were lost before they could be compared.
	LostShare Code = "lost_share"
	// The endpoint has traffic, and nothing of it can be compared or too little.
	NotComparable Code = "not_comparable"
	// Most exchanges repeat requests of which there were enough: K of N, which are no evidence.
	// With a Test: K of all N exchanges count against the candidate, those that repeat included.
	Repeated Code = "repeated"
	// In too many exchanges the state of the primary moved, so that nothing is known.
	TransientShare Code = "transient_share"
	// Too many exchanges name identifiers of which nobody knows the partner.
	UnmappedShare Code = "unmapped_share"
	// Of too many exchanges nobody knows what their legs did to their databases.
	EffectsUnknown Code = "effects_unknown"
	// The effects of too many exchanges differ in rows only that differed before.
	InheritedShare Code = "inherited_share"
	// The effects of too many exchanges were found by their keys alone, which is no proof.
	EffectsByKey Code = "effects_by_key"
	// Too many exchanges have noise, so that too much of them is unchecked.
	NoiseShare Code = "noise_share"
	// The endpoint has traffic and nothing of it was ever sent to the candidate. It
	// does not hold the service's verdict, which lists it as not covered.
	NotCovered Code = "not_covered"
	// A divergence at a place of which the policy allows none, and nobody closed its
	// issue: Detail names issues, K counts them.
	ZeroPlace Code = "zero_place"
	// Somebody said of an issue that the candidate is wrong: Detail names issues, K
	// counts them.
	KnownBug Code = "known_bug"
	// The endpoint passed, and then got worse.
	LateRegression Code = "late_regression"
	// Not compared for long enough, counted from the last change of rules, policy
	// or versions.
	TooShort Code = "too_short"
	// In some hours of the week that the policy asks for nothing was compared: K of N
	// were seen, Detail names those that were not.
	HoursMissing Code = "hours_missing"
	// The verdict is on another version of the candidate than was asked for.
	OtherVersion Code = "other_version"
	// Nothing was compared yet.
	NoTraffic Code = "no_traffic"
	// Nothing was compared lately.
	Stale Code = "stale"
	// A person paused the promotion, or rolled back, which pauses it.
	Paused Code = "paused"
	// Mirroring is paused, by a person, a signal or the watchdog: Detail says why.
	MirroringPaused Code = "mirroring_paused"
	// A leg is asked as a shadow no more: what it did as one was found where it must
	// not be. Detail says what.
	Tripped Code = "tripped"
	// Rules that a person saved cannot be put in force, so that what is compared is not
	// what was asked for: Detail says why.
	RulesLeftOut Code = "rules_left_out"
	// The store cannot be read, so nothing can be said.
	StoreAway Code = "store_away"
)

// Codes lists every reason there is.
var Codes = []Code{
	InsufficientSamples, DivergenceRate, CandidateErrors, LiveErrors, LiveEffects, TooSlow, LostShare, NotComparable, Repeated, TransientShare, UnmappedShare, EffectsUnknown, InheritedShare, EffectsByKey, NoiseShare, NotCovered, ZeroPlace, KnownBug, LateRegression,
	TooShort, HoursMissing, OtherVersion, NoTraffic, Stale, Paused, MirroringPaused, Tripped, RulesLeftOut, StoreAway,
}

// Test names what was tested.
type Test string

// The tests of an endpoint.
const (
	DivergenceTest Test = "divergence" // N and K: exchanges, and those that diverged
	ErrorTest      Test = "errors"     // exchanges, and those in which only the candidate failed
	LatencyTest    Test = "latency"    // timed exchanges, and those in which the candidate was slower
)

// Reason is one thing that led to a verdict. Which fields are set depends on the
// code; shares are between 0 and 1, times in seconds.
type Reason struct {
	Code     Code   `json:"code"`
	Endpoint string `json:"endpoint,omitempty"` // or a pool or a group, see [IsEndpoint]; empty for all of the service
	Test     Test   `json:"test,omitempty"`

	N uint64 `json:"n"` // how many were looked at
	K uint64 `json:"k"` // how many of them count against the candidate

	// PrimaryN and PrimaryK are the same of the primary, where what is tested is no pairs.
	PrimaryN uint64 `json:"primary_n,omitempty"`
	PrimaryK uint64 `json:"primary_k,omitempty"`

	// Need is the N at which the test passes if none of the further ones counts
	// against the candidate; EtaSeconds is when that is at the endpoint's recent
	// rate. They are left out when unknown.
	Need       uint64  `json:"need,omitempty"`
	EtaSeconds float64 `json:"eta_seconds,omitempty"`

	// Threshold is what the rate is tested against. Lower and Upper are limits
	// that hold at every moment.
	Threshold float64 `json:"threshold,omitempty"`
	Lower     float64 `json:"lower,omitempty"`
	Upper     float64 `json:"upper,omitempty"`

	// Seconds is how long it has been: compared for, or without traffic.
	// NeedSeconds is how long it must be.
	Seconds     float64 `json:"seconds,omitempty"`
	NeedSeconds float64 `json:"need_seconds,omitempty"`

	// Detail is what a person or the watchdog wrote, or what was found.
	Detail string `json:"detail,omitempty"`
}

// Sentence says the reason in English, in one sentence.
func (r Reason) Sentence() string {
	text := r.clause()
	if r.Endpoint != "" {
		return r.Endpoint + ": " + text + "."
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (r Reason) clause() string {
	if r.unpaired() {
		return r.unpairedClause()
	}
	switch r.Code {
	case InsufficientSamples:
		return r.insufficient()
	case DivergenceRate:
		return fmt.Sprintf("%s of %s exchanges diverge, %s; at most %s is allowed%s",
			count(r.K), count(r.N), r.between(), percent(r.Threshold), r.outlook())
	case CandidateErrors:
		return fmt.Sprintf("the candidate failed where the primary did not in %s of %s exchanges, %s; at most %s is allowed%s",
			count(r.K), count(r.N), r.between(), percent(r.Threshold), r.outlook())
	case LiveErrors:
		return fmt.Sprintf("the candidate failed in %s of the last %s requests that callers got its answers to, more often than the primary; at most %s is allowed",
			count(r.K), count(r.N), percent(r.Threshold))
	case LiveEffects:
		return "in requests that only one version is asked, the candidate changes another number of rows than the primary: " + r.Detail
	case TooSlow:
		return fmt.Sprintf("the candidate was slower in %s of %s exchanges, %s; at most %s is allowed%s",
			count(r.K), count(r.N), r.between(), percent(r.Threshold), r.outlook())
	case LostShare:
		return fmt.Sprintf("%s of %s mirrored exchanges were lost before they were compared; at most %s is allowed",
			count(r.K), count(r.N), percent(r.Threshold))
	case NotComparable:
		if r.K > 0 {
			return fmt.Sprintf("%s of %s exchanges could not be compared; at most %s may be unknown, unless the endpoint is waived",
				count(r.K), count(r.N), percent(r.Threshold))
		}
		return fmt.Sprintf("none of %s exchanges could be compared, so nothing is known about the candidate here", count(r.N))
	case Repeated:
		if r.Test != "" {
			return r.repeatedClause()
		}
		return fmt.Sprintf("%s of %s exchanges repeat requests of which there were enough, so that they are no evidence; other requests are needed, or max_repeat_share: 1 for the endpoint, if it has no others",
			count(r.K), count(r.N))
	case TransientShare:
		return fmt.Sprintf("in %s of %s exchanges the primary itself answered otherwise when it was asked again; at most %s may be left unjudged for that",
			count(r.K), count(r.N), percent(r.Threshold))
	case UnmappedShare:
		return fmt.Sprintf("%s of %s exchanges name identifiers of which nobody knows the partner; at most %s may: declare where such values are born",
			count(r.K), count(r.N), percent(r.Threshold))
	case EffectsUnknown:
		return fmt.Sprintf("of %s of %s exchanges nobody knows all that they did to the databases; at most %s may be left unjudged for that",
			count(r.K), count(r.N), percent(r.Threshold))
	case InheritedShare:
		return fmt.Sprintf("%s of %s exchanges differ only in rows that differed before; at most %s may: mend those rows, or take a fresh copy of the data, and start anew",
			count(r.K), count(r.N), percent(r.Threshold))
	case EffectsByKey:
		return fmt.Sprintf("effects of %s of %s exchanges were found by their keys alone, which is no proof; at most %s may: let the service write the exchange's id or traceparent into its transactions",
			count(r.K), count(r.N), percent(r.Threshold))
	case NoiseShare:
		return fmt.Sprintf("%s of %s exchanges have noise, at which a wrong candidate may not be seen; at most %s may: rules that name the random fields check the rest",
			count(r.K), count(r.N), percent(r.Threshold))
	case NotCovered:
		return fmt.Sprintf("none of %s requests was ever sent to the candidate, so no test judges it", count(r.N))
	case ZeroPlace:
		return fmt.Sprintf("%s at places of which the policy allows no divergence, and held until a person closes %s: %s",
			issues(r.K), map[bool]string{true: "it", false: "them"}[r.K == 1], r.Detail)
	case KnownBug:
		return fmt.Sprintf("%s that a person called a bug of the candidate: %s", issues(r.K), r.Detail)
	case LateRegression:
		return fmt.Sprintf("it passed, and diverges more often since: %s of %s exchanges in all", count(r.K), count(r.N))
	case TooShort:
		return fmt.Sprintf("compared for %s since the last change; the policy asks for %s", span(r.Seconds), span(r.NeedSeconds))
	case HoursMissing:
		return fmt.Sprintf("compared in %s of the %s hours of the week that the policy asks for; not in %s (UTC)", count(r.K), count(r.N), r.Detail)
	case OtherVersion:
		text := "the verdict is on another version of the candidate than was asked for"
		if r.Detail != "" {
			text += ": " + r.Detail
		}
		return text
	case NoTraffic:
		return "nothing was compared yet"
	case Stale:
		return fmt.Sprintf("nothing was compared for %s", span(r.Seconds))
	case Paused:
		return "a person paused the promotion, or rolled back; resuming it ends that, and so does moving the step"
	case MirroringPaused:
		text := "mirroring is paused, so nothing new is learned about the candidate"
		if r.Detail != "" {
			text += ": " + strings.TrimSuffix(r.Detail, ".")
		}
		return text
	case Tripped:
		return "mirroring has stopped until a person resumes it: " + strings.TrimSuffix(r.Detail, ".")
	case RulesLeftOut:
		return "the rules that were saved cannot be put in force: " + strings.TrimSuffix(r.Detail, ".") + "; save others, or none"
	case StoreAway:
		return "the store cannot be read, so nothing can be said about the candidate"
	}
	return strings.ReplaceAll(string(r.Code), "_", " ")
}

func (r Reason) insufficient() string {
	what := map[Test]string{ErrorTest: " to rule out errors", LatencyTest: " with both times known"}[r.Test]
	if r.Need <= r.N {
		return "too little was compared yet" + what
	}
	text := fmt.Sprintf("needs %s exchanges%s and has %s", count(r.Need), what, count(r.N))
	if r.EtaSeconds > 0 {
		text += "; the rest takes about " + span(r.EtaSeconds)
	}
	return text
}

func (r Reason) between() string {
	return fmt.Sprintf("so the rate is between %s and %s", percent(r.Lower), percent(r.Upper))
}

// outlook says what would help, where more of the same traffic would.
func (r Reason) outlook() string {
	if r.Need == 0 || r.Lower > r.Threshold {
		return ""
	}
	text := fmt.Sprintf("; it passes at %s if no more do", count(r.Need))
	if r.EtaSeconds > 0 {
		text += ", in about " + span(r.EtaSeconds)
	}
	return text
}

// count writes a number with a space between thousands, from 10 000 on.
func count(n uint64) string {
	digits := fmt.Sprint(n)
	if len(digits) < 5 {
		return digits
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), " ")
}

// issues counts issues in words.
func issues(k uint64) string {
	if k == 1 {
		return "one issue"
	}
	return count(k) + " issues"
}

// percent writes a share with three significant digits, and never as a power of
// ten.
func percent(share float64) string {
	value := 100 * share
	switch {
	case value == 0 || math.IsNaN(value):
		return "0 %"
	case value < 0.0001:
		return "<0.0001 %"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64) + " %"
}

// span writes seconds as a person would say them.
func span(seconds float64) string {
	d := time.Duration(min(seconds, 1e9) * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// repeatedClause says that requests which are no evidence any more come out worse.
func (r Reason) repeatedClause() string {
	what := map[Test]string{DivergenceTest: "diverge", ErrorTest: "were failed by the candidate alone"}[r.Test]
	return fmt.Sprintf("with requests that are sent over and over, %s of %s exchanges %s; at most %s is allowed", count(r.K), count(r.N), what, percent(r.Threshold))
}
