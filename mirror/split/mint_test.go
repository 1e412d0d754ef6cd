package split

import (
	"testing"
	"time"

	"parallax"
)

func TestCookie(t *testing.T) {
	t.Parallel()
	s := must(t, Config{Key: "cookie:px", Mint: time.Hour})
	if got, want := s.Cookie("u1", false).Value, "px=u1; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"; got != want {
		t.Errorf("in the clear: %q, want %q", got, want)
	}
	if got, want := s.Cookie("u1", true).Value, "px=u1; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"; got != want {
		t.Errorf("with TLS: %q, want %q", got, want)
	}
	if !s.Names([]parallax.Field{{Name: "set-cookie", Value: "px=mine; Path=/"}}) || s.Names([]parallax.Field{{Name: "Set-Cookie", Value: "pxx=1"}, {Name: "X", Value: "px=1"}}) {
		t.Error("Names does not tell the service's own cookie")
	}
}

func TestMintingThatMeansNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{Mint: time.Hour}, {Key: "ip", Mint: time.Hour}, {Key: "jwt:sub@cookie:t", Mint: time.Hour},
		{Key: "cookie:px", Mint: -1}, {Key: "cookie:px", Mint: time.Second}, {Key: "cookie:px", Mint: 401 * 24 * time.Hour},
	} {
		if faults := c.Validate(); len(faults) != 1 || faults[0].Path != "mint" {
			t.Errorf("%+v: %v, want one fault of mint", c, faults)
		}
	}
	if s := must(t, Config{Key: "cookie:px"}); s.Mints() {
		t.Error("cookies are minted although nobody asked for it")
	}
}
