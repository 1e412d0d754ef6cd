package ui

import (
	"encoding/json"
	"strings"
	"testing"

	"parallax/reports"
)

// TestStepSaysHowManyUsersWouldMeetTheCandidate before anybody does.
func TestStepSaysHowManyUsersWouldMeetTheCandidate(t *testing.T) {
	t.Parallel()
	a, known := Audience{Since: now, Seen: 8123, WouldMeet: 79, Unknown: 1}, true
	r := newRig(t, func(c *Config) {
		c.Services[0].Audience = func(int) (Audience, bool) { return a, known }
	})
	r.policy.course = reports.Course{Next: 100, Code: reports.Unproven}
	read := func() (users *audienceDocument) {
		t.Helper()
		var got stepDocument
		if err := json.Unmarshal(r.call("GET", "/api/v1/services/shop/step", "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got.Users
	}
	a.Step = 100
	got := read()
	if got == nil || got.Audience != a {
		t.Fatalf("%+v, want %+v", got, a)
	}
	if page := r.call("GET", "/services/shop", "", "Accept", "text/html").Body.String(); !strings.Contains(page, got.Text) {
		t.Errorf("the page does not say %q", got.Text)
	}
	known = false
	if got := read(); got != nil {
		t.Errorf("nobody knows, and it says %+v", got)
	}
}

func TestAudienceAsASentence(t *testing.T) {
	t.Parallel()
	f := func(a Audience, step int, want string) {
		t.Helper()
		a.Since = now
		if got := strings.ReplaceAll(a.sentence(step), thin, " "); got != want {
			t.Errorf("%+v at step %d\n got %s\nwant %s", a, step, got, want)
		}
	}
	f(Audience{Step: 100}, 0, "No user was seen since 2026-11-21 12:00:00 UTC, so nobody knows how many would meet the candidate.")
	f(Audience{Step: 100, Seen: 8123, WouldMeet: 79}, 0, "At 1 % about 79 of 8123 users seen since 2026-11-21 12:00:00 UTC would meet the candidate.")
	f(Audience{Step: 2500, Seen: 9, WouldMeet: 2, Unknown: 1}, 100, "At 25 % about 2 of 9 users seen since 2026-11-21 12:00:00 UTC would meet the candidate. 1 request without a user stays on the primary until the step is 100 %.")
	f(Audience{Step: 2500, Unknown: 12}, 100, "At 25 % about 0 of 0 users seen since 2026-11-21 12:00:00 UTC would meet the candidate. 12 requests without a user stay on the primary until the step is 100 %.")
	f(Audience{Step: 10000, Seen: 9, WouldMeet: 9, Unknown: 12}, 10000, "At 100 % about 9 of 9 users seen since 2026-11-21 12:00:00 UTC meet the candidate.")
	f(Audience{Step: 10000, Seen: 9, WouldMeet: 9, Unknown: 12, Stay: true}, 10000, "At 100 % about 9 of 9 users seen since 2026-11-21 12:00:00 UTC meet the candidate. 12 requests without a user stay on the primary at every step.")
	f(Audience{Step: 10000, Seen: 9e6, WouldMeet: 9e6, More: true}, 5000, "At 100 % more than 9 000 000 of 9 000 000 users seen since 2026-11-21 12:00:00 UTC would meet the candidate.")
}
