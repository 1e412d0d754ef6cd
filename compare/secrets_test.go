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
	f("session_count", false)
	f("tokenizer", false)
	f("Access-Control-Allow-Credentials", false)
	f("", false)
}
