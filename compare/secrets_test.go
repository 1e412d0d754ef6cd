package compare

import "testing"

func TestSecretName(t *testing.T) {
	t.Parallel()
	f := func(name string, want bool) {
		t.Helper()
		if got := SecretName(name); got != want {
			t.Errorf("SecretName(%q) = %v, want %v", name, got, want)
		}
	}
	f("Authorization", true)
	f("x-api-key", true)
	f("access_token", true)
	f("clientSecret", true)
	f("user.password", true)
	f("session", true)
	for _, name := range []string{"X-Auth", "X-Auth-Key", "user_pass", "userPass", "password_confirmation", "user[password]", "api_keys", "secrets", "session_key", "connect.sid", "laravel_session"} {
		f(name, true)
	}
	f("session_count", false)
	f("compass", false)
	f("author", false)
	f("passed", false)
	f("outside", false)
	f("pins_total", false)
	f("tokenizer", false)
	f("Access-Control-Allow-Credentials", false)
	f("", false)
}
