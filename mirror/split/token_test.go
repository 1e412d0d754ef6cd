package split

import (
	"encoding/base64"
	"strings"
	"testing"

	"parallax"
)

// token returns a token with claims, which nobody signed.
func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestUserFromAToken(t *testing.T) {
	t.Parallel()
	f := func(key, name, value, want string) {
		t.Helper()
		headers := []parallax.Field{{Name: name, Value: value}}
		if got := must(t, Config{Key: key}).User(headers, "192.0.2.1"); got != want {
			t.Errorf("key %q, %s: %.60q: user %q, want %q", key, name, value, got, want)
		}
	}
	alice := token(`{"sub":"alice","iat":17,"aud":["a"],"admin":true,"https://x.example/tenant":"t1"}`)
	f("jwt:sub", "Authorization", "Bearer "+alice, "alice")
	f("jwt:sub", "authorization", "bearer  "+alice, "alice")
	f("jwt:iat", "Authorization", "Bearer "+alice, "17")
	f("jwt:https://x.example/tenant", "Authorization", "Bearer "+alice, "t1")
	f("jwt:sub@header:X-Token", "X-Token", alice, "alice")
	f("jwt:sub@cookie:session", "Cookie", "a=b; session="+alice, "alice")
	f("jwt:sub@cookie:session", "Authorization", "Bearer "+alice, "")
	f("jwt:user@example", "Authorization", "Bearer "+token(`{"user@example":"u"}`), "u")
	f("jwt:sub", "Authorization", "Bearer "+token(`{"sub":"\u00e9\n"}`), "é\n")
	f("jwt:sub", "Authorization", "Bearer "+token(`{"sub":12345678901234567890}`), "12345678901234567890")

	for _, value := range []string{
		"", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b", "Bearer a.b.c.d", "Bearer ..", "Bearer e30.!!!.x",
		"Bearer " + token(`{"sub":null}`), "Bearer " + token(`{"sub":{}}`), "Bearer " + token(`{"sub":["alice"]}`), "Bearer " + token(`{"sub":true}`),
		"Bearer " + token(`{"sub":""}`), "Bearer " + token(`{"SUB":"alice"}`), "Bearer " + token(`"sub"`), "Bearer " + token(`{"sub":"alice"`), "Bearer " + token(``),
		"Bearer " + token(strings.Repeat("[", 8000)),
		"Bearer " + token(`{"sub":"alice","pad":"`+strings.Repeat("x", maxToken)+`"}`),
	} {
		f("jwt:sub", "Authorization", value, "")
	}
}

func TestTokensThatKeysCannotName(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"jwt:", "jwt", "jwt:@cookie:x", "jwt:sub@cookie:", "jwt:sub@header:a b", "jwt:" + strings.Repeat("c", maxClaim+1)} {
		if _, err := ParseKey(key); err == nil {
			t.Errorf("%.40q is read as a key", key)
		}
	}
}

// FuzzClaim looks for a token that makes reading it panic, or name a user for
// whom there is no claim.
func FuzzClaim(f *testing.F) {
	f.Add("Bearer "+token(`{"sub":"alice"}`), "sub")
	f.Add(token(`{"sub":1e999}`), "sub")
	f.Add("..", "")
	f.Fuzz(func(t *testing.T, text, claim string) {
		if got := claimOf(text, claim); got != "" && len(got) > 3*len(text) {
			t.Errorf("a user of %d bytes from a token of %d", len(got), len(text))
		}
		if key, err := ParseKey("jwt:" + claim); err == nil {
			key.User([]parallax.Field{{Name: "Authorization", Value: text}, {Name: "Cookie", Value: text}}, "")
		}
	})
}

func BenchmarkUserFromAToken(b *testing.B) {
	key, _ := ParseKey("jwt:sub")
	headers := []parallax.Field{{Name: "Authorization", Value: "Bearer " + token(`{"iss":"https://id.example","sub":"alice","iat":1700000000,"exp":1700003600,"scope":"read write"}`)}}
	b.ReportAllocs()
	for b.Loop() {
		key.User(headers, "")
	}
}
