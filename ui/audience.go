package ui

import (
	"fmt"
	"time"
)

// Audience is how many users a step would bring to the candidate, of those who were seen
// lately with a request that may go live on it.
type Audience struct {
	Since     time.Time `json:"since"` // what is known begins here
	Seen      int       `json:"seen"`
	Step      int       `json:"step"` // that WouldMeet is about: the next one of the policy, behind the last the one in force
	WouldMeet int       `json:"would_meet"`
	More      bool      `json:"more,omitempty"`             // both numbers are lower bounds
	Unknown   uint64    `json:"unknown_requests,omitempty"` // without a user: they meet the candidate at the last step alone
	Stay      bool      `json:"unknown_stay,omitempty"`     // not even then
}

// audienceDocument is an audience, also as a sentence.
type audienceDocument struct {
	Audience
	Text string `json:"text"`
}

// audience is nil where nobody knows it.
func (s Service) audience(step, next int) *audienceDocument {
	if s.Audience == nil {
		return nil
	}
	if next == 0 {
		next = step
	}
	a, known := s.Audience(next)
	if !known {
		return nil
	}
	a.Step = next
	return &audienceDocument{a, a.sentence(step)}
}

// sentence says how many users would meet the candidate, or do at the step in force.
func (a Audience) sentence(step int) string {
	since := "since " + utc(a.Since)
	if a.Seen == 0 && a.Unknown == 0 {
		return "No user was seen " + since + ", so nobody knows how many would meet the candidate."
	}
	about, verb := "about", "meet"
	if a.More {
		about = "more than"
	}
	if a.Step > step {
		verb = "would meet"
	}
	text := fmt.Sprintf("At %s %s %s of %s users seen %s %s the candidate.", stepShare(a.Step), about, count(int64(a.WouldMeet)), count(int64(a.Seen)), since, verb)
	return text + a.unknown()
}

// unknown says what becomes of requests without a user.
func (a Audience) unknown() string {
	until := "until the step is " + stepShare(10_000)
	switch {
	case a.Unknown == 0, a.Step == 10_000 && !a.Stay:
		return ""
	case a.Stay:
		until = "at every step"
	}
	return fmt.Sprintf(" %s without a user %s on the primary %s.", count(int64(a.Unknown))+" "+plural(a.Unknown, "request", "requests"), plural(a.Unknown, "stays", "stay"), until)
}
