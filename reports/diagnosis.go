package reports

import (
	"fmt"
	"strings"
)

// Diagnosis is one cause behind most of what an endpoint shows: one leg answers
// more than half of its exchanges in a way that says something is not set up, and
// the other does not. It is presentation only: no verdict depends on it.
type Diagnosis struct {
	Code   string  `json:"code"` // unauthorized, forbidden, not_found, rate_limited, server_error, redirect or no_answer
	Leg    string  `json:"leg"`  // primary or candidate: the one that answers so
	Share  float64 `json:"share"`
	N      int64   `json:"n"` // exchanges that show it
	Text   string  `json:"text"`
	Advice string  `json:"advice"`
}

// Sentence says the diagnosis and what to do about it.
func (d Diagnosis) Sentence() string { return d.Text + ": " + d.Advice }

// minDiagnosed is how many exchanges an endpoint must have before it is diagnosed:
// of fewer, half say nothing.
const minDiagnosed = 5

// ailment is a way to answer with what is probably behind it, by the leg that
// answers so.
type ailment struct {
	code, what         string
	shows              func(answer string) bool
	candidate, primary string
}

var ailments = []ailment{
	{"unauthorized", "401", equals("401"),
		"it does not know the sessions of the primary; name the places of tokens under identifiers, with a from for where each leg hands them out, or give both legs the same session store and keys",
		"it refuses credentials that the candidate takes; see whether the requests are old, or whether the candidate checks them at all"},
	{"forbidden", "403", equals("403"),
		"it knows the caller and grants less; copy the roles and permissions, and see whether a firewall, an allow-list or a CSRF check stops what comes from Parallax",
		"the candidate lets in callers that the primary refuses; see whether it checks permissions at all"},
	{"not_found", "404", equals("404"),
		"it has other ids or other data; name the ids under identifiers, copy the state of the primary (with unmapped: same for what both had before), or declare moved routes under candidate.rewrite",
		"the candidate has what the primary does not; see whether its data is newer, or whether the route is new"},
	{"rate_limited", "429", equals("429"),
		"it limits the rate; set candidate.max_rps below its limit, mirror less with mirror.sample or mirror.max_rps, or raise the limit for Parallax",
		"the primary limits the rate of its callers; compare at a quieter time, or raise the limit"},
	{"server_error", "a 5xx", begins('5'),
		"it fails; look for these requests in its log, and see whether its database and what it depends on are there",
		"the primary fails, and what it fails at cannot be compared; mend that first, or declare the status with a rule's normal if it is an answer"},
	{"redirect", "a redirect", isRedirect,
		"it sends callers elsewhere; see its idea of scheme, host and trailing slashes, and set candidate.rewrite or candidate.host, or the header that tells it about TLS, such as X-Forwarded-Proto",
		"the candidate answers itself what the primary redirects; see whether sign-in, scheme and host are handled alike"},
	{"no_answer", "no answer", func(answer string) bool { return answer != "" && (answer[0] < '0' || answer[0] > '9') },
		"it cannot be reached or does not answer in time; see candidate.urls, its health, and mirror.timeout",
		"the primary cannot be reached or does not answer in time, so there is nothing to compare with; see primary.urls and timeouts"},
}

func equals(status string) func(string) bool {
	return func(answer string) bool { return answer == status }
}

func begins(digit byte) func(string) bool {
	return func(answer string) bool { return len(answer) == 3 && answer[0] == digit }
}

func isRedirect(answer string) bool {
	return len(answer) == 3 && strings.Contains("301 302 303 307 308", answer)
}

// Diagnose looks for one cause behind a status matrix: how often the legs answered
// what, by "primary/candidate", each a status or the kind of a failure. It returns
// nil when there is none. Exchanges for which a leg was not asked, or whose
// caller left, say nothing.
func Diagnose(matrix map[string]int64) *Diagnosis {
	var total int64
	for answers, n := range matrix {
		if p, c, ok := strings.Cut(answers, "/"); ok && tells(p) && tells(c) {
			total += n
		}
	}
	if total < minDiagnosed {
		return nil
	}
	for _, a := range ailments {
		candidate, primary := a.counts(matrix)
		for _, leg := range []struct {
			name, advice string
			n            int64
		}{{"candidate", a.candidate, candidate}, {"primary", a.primary, primary}} {
			if 2*leg.n > total {
				share := float64(leg.n) / float64(total)
				return &Diagnosis{Code: a.code, Leg: leg.name, Share: share, N: leg.n, Advice: leg.advice,
					Text: fmt.Sprintf("%s of this endpoint is %s on the %s only", percent(share), a.what, leg.name)}
			}
		}
	}
	return nil
}

// tells reports whether an entry of the matrix says something about its leg: it was
// asked, and its caller stayed.
func tells(answer string) bool { return answer != "not_asked" && answer != "caller_gone" }

// counts returns how many exchanges show the ailment on one leg only.
func (a ailment) counts(matrix map[string]int64) (candidate, primary int64) {
	for answers, n := range matrix {
		p, c, ok := strings.Cut(answers, "/")
		if !ok || !tells(p) || !tells(c) {
			continue
		}
		switch sickP, sickC := a.shows(p), a.shows(c); {
		case sickC && !sickP:
			candidate += n
		case sickP && !sickC:
			primary += n
		}
	}
	return candidate, primary
}
