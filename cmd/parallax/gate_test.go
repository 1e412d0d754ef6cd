package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// TestADeploymentWaitsForTheVerdict: GitHub tells of it, hears what is missing, and is answered after a restart too.
func TestADeploymentWaitsForTheVerdict(t *testing.T) {
	t.Parallel()
	told := make(chan string, 100)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /app/installations/7/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"token":"ghs_x","expires_at":"2096-01-01T00:00:00Z"}`)
	})
	mux.HandleFunc("POST /repos/acme/shop/actions/runs/1/deployment_protection_rule", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
		told <- r.Header.Get("Authorization") + " " + string(text)
	})
	hub := httptest.NewServer(mux)
	defer hub.Close()

	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "an example, of 32 bytes or more."
	for name, text := range map[string][]byte{
		"secret": []byte(secret), "app.pem": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := rig.StartIn(t, dir, shopConfig(backend(t, "9.99"), backend(t, "9.98"), fmt.Sprintf(`
github:
  api: %q
  app: Iv1
  secret_file: secret
  key_file: app.pem
  deployments: [{ repository: acme/shop, environment: production, service: shop }]
`, hub.URL)))

	body := fmt.Sprintf(`{"action":"requested","environment":"production","deployment_callback_url":"%s/repos/acme/shop/actions/runs/1/deployment_protection_rule",
		"deployment":{"sha":"6dcb09b5b57875f334f61aebed695e2e4193db5e","ref":"v2.0.0"},"repository":{"full_name":"acme/shop"},"installation":{"id":7}}`, hub.URL)
	deliver := func(signature string) int {
		request, err := http.NewRequestWithContext(t.Context(), "POST", p.Admin+"/api/v1/github/deployments", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-GitHub-Event", "deployment_protection_rule")
		request.Header.Set("X-Hub-Signature-256", signature)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	good := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	if got := deliver("sha256=00"); got != http.StatusUnauthorized {
		t.Errorf("another signature: %d", got)
	}
	for range 2 { // GitHub may deliver it twice
		if got := deliver(good); got != http.StatusAccepted {
			t.Fatalf("a delivery: %d", got)
		}
	}
	if got := <-told; !strings.HasPrefix(got, `Bearer ghs_x {"environment_name":"production","comment":"shop: hold`) {
		t.Errorf("told %s", got)
	}
	p.Restart()
	for i := range 40 { // the candidate is wrong every time
		call(t, p, "GET", fmt.Sprint("/orders/", i), "", 200)
	}
	if got := <-told; !strings.HasPrefix(got, `Bearer ghs_x {"environment_name":"production","state":"rejected","comment":"shop: rollback`) {
		t.Errorf("told %s", got)
	}
	rig.Eventually(t, "nothing to wait", func() error {
		text, err := os.ReadFile(filepath.Join(dir, "parallax-state", "github.json"))
		if err == nil && strings.TrimSpace(string(text)) != "[]" {
			err = fmt.Errorf("%s", text)
		}
		return err
	})
	if len(told) > 0 {
		t.Errorf("told once more: %s", <-told)
	}
}
