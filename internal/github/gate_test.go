package github

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parallax/reports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "an example, of 32 bytes or more."

// appKey is made once: it takes its time.
var appKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// hub is a GitHub, as far as Apps and protection rules go.
type hub struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	now     time.Time
	fail    int // status of callbacks that fail from now on; 0 for none
	revoked bool
	minted  int
	told    []map[string]string // bodies of callbacks, with the path and the status they got
}

func newHub(t *testing.T) *hub {
	h := &hub{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /app/installations/{id}/access_tokens", h.mint)
	mux.HandleFunc("POST /repos/{owner}/{repo}/actions/runs/{run}/deployment_protection_rule", h.review)
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

// mint checks the App's proof and gives a token.
func (h *hub) mint(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		http.Error(w, "no JWT", http.StatusUnauthorized)
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err == nil {
		err = rsa.VerifyPKCS1v15(&appKey().PublicKey, crypto.SHA256, sum[:], signature)
	}
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Iat, Exp int64
		Iss      string
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if wrong := json.Unmarshal(claims, &c); err != nil || wrong != nil || c.Iss != "Iv1" || c.Exp-c.Iat > 600 || c.Exp <= h.now.Unix() || c.Iat > h.now.Unix() {
		http.Error(w, "a JWT that is not good", http.StatusUnauthorized)
		return
	}
	h.minted++
	h.revoked = false
	w.WriteHeader(201)
	json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprint("ghs_", r.PathValue("id"), "_", h.minted), "expires_at": h.now.Add(time.Hour)})
}

// review takes an answer.
func (h *hub) review(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, _ := io.ReadAll(r.Body)
	body := map[string]string{}
	if err := json.Unmarshal(text, &body); err != nil {
		h.t.Errorf("a callback with %q", text)
	}
	status := http.StatusNoContent
	switch want := fmt.Sprint("Bearer ghs_7_", h.minted); {
	case h.revoked || r.Header.Get("Authorization") != want:
		status = 401
	case h.fail != 0:
		status = h.fail
	}
	body["path"], body["status"] = r.URL.Path, fmt.Sprint(status)
	h.told = append(h.told, body)
	w.WriteHeader(status)
}

// answers are the states and statuses of callbacks so far.
func (h *hub) answers() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, t := range h.told {
		out = append(out, t["state"]+" "+t["status"])
	}
	return strings.Join(out, ", ")
}

// gateOf is a gate at a hub, with verdicts by service and a clock.
type gateOf struct {
	*Gate
	hub      *hub
	verdicts map[string]reports.Verdict
	now      time.Time
	log      bytes.Buffer
	cfg      Config
}

func newGate(t *testing.T, lines ...Deployment) *gateOf {
	t.Helper()
	dir := t.TempDir()
	g := &gateOf{hub: newHub(t), verdicts: map[string]reports.Verdict{}, now: time.Now()}
	g.hub.now = g.now
	g.cfg = DefaultConfig()
	g.cfg.API, g.cfg.App, g.cfg.SecretFile, g.cfg.KeyFile = g.hub.URL, "Iv1", filepath.Join(dir, "secret"), filepath.Join(dir, "key.pem")
	g.cfg.Deployments = lines
	if len(lines) == 0 {
		g.cfg.Deployments = []Deployment{{Repository: "acme/shop", Environment: "production", Service: "shop"}}
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(appKey())})
	for file, text := range map[string][]byte{g.cfg.SecretFile: []byte(secret + "\n"), g.cfg.KeyFile: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if faults := g.cfg.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	g.open(t)
	return g
}

// pass lets time go by.
func (g *gateOf) pass(d time.Duration) {
	g.hub.mu.Lock()
	defer g.hub.mu.Unlock()
	g.now = g.now.Add(d)
	g.hub.now = g.now
}

func (g *gateOf) open(t *testing.T) {
	t.Helper()
	var err error
	g.Gate, err = Open(g.cfg, filepath.Join(filepath.Dir(g.cfg.KeyFile), "github.json"), func(s string) (reports.Verdict, bool) {
		v, ok := g.verdicts[s]
		return v, ok
	}, func() time.Time { return g.now }, slog.New(slog.NewTextHandler(&g.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
}

// requested is the payload of a deployment that waits, in the shape that GitHub documents.
func (g *gateOf) requested(environment, run string) string {
	return fmt.Sprintf(`{"action":"requested","environment":%q,"event":"push","deployment_callback_url":%q,
		"deployment":{"id":1,"sha":"6dcb09b5b57875f334f61aebed695e2e4193db5e","ref":"v2.0.0","task":"deploy","environment":%q,"creator":{"login":"octocat"}},
		"pull_requests":[],"repository":{"id":2,"name":"shop","full_name":"acme/shop","private":true},"organization":{"login":"acme"},
		"installation":{"id":7,"node_id":"x"},"sender":{"login":"octocat"}}`, environment, g.hub.URL+"/repos/acme/shop/actions/runs/"+run+"/deployment_protection_rule", environment)
}

func signed(body string) Delivery {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return Delivery{"deployment_protection_rule", "sha256=" + hex.EncodeToString(mac.Sum(nil)), []byte(body)}
}

func (g *gateOf) take(t *testing.T, body string) {
	t.Helper()
	if _, err := g.Take(signed(body)); err != nil {
		t.Fatal(err)
	}
}

func verdictOf(d reports.Decision, version string) reports.Verdict {
	v := reports.Verdict{Service: "shop", Decision: d, CandidateVersion: version, Chain: "c4a1", Reasons: []reports.Reason{}}
	if d != reports.Promote {
		v.Reasons = []reports.Reason{{Code: reports.NoTraffic}}
	}
	return v
}

// TestPolarity is the table of docs/ci.md.
func TestPolarity(t *testing.T) {
	t.Parallel()
	for d, want := range map[reports.Decision]string{reports.Promote: "approved 204", reports.Hold: " 204", reports.Rollback: "rejected 204"} {
		g := newGate(t)
		g.verdicts["shop"] = verdictOf(d, "2.0.0")
		g.take(t, g.requested("production", "1"))
		g.look(t.Context())
		g.look(t.Context())
		if got := g.hub.answers(); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
		if left := g.Waiting(); (left == 1) != (d == reports.Hold) {
			t.Errorf("%s: %d wait", d, left)
		}
		told := g.hub.told[0]
		if told["path"] != "/repos/acme/shop/actions/runs/1/deployment_protection_rule" || told["environment_name"] != "production" || !strings.HasPrefix(told["comment"], "shop: "+string(d)+" on 2.0.0") || !strings.Contains(told["comment"], "Chain c4a1.") {
			t.Errorf("%v", told)
		}
	}
}

// TestADeploymentWaitsForItsVersion, for all services and groups that are named, and no longer than it should.
func TestADeploymentWaitsForItsVersion(t *testing.T) {
	t.Parallel()
	f := func(want string, lines []Deployment, verdicts map[string]reports.Verdict) {
		t.Helper()
		for i := range lines {
			lines[i].Repository, lines[i].Environment = "Acme/shop", "Production"
		}
		g := newGate(t, lines...)
		g.verdicts = verdicts
		g.take(t, g.requested("production", "1"))
		g.look(t.Context())
		if got := g.hub.answers(); got != want {
			t.Errorf("%v with %v: %q, want %q", lines, verdicts, got, want)
		}
	}
	on := func(version string) map[string]reports.Verdict {
		return map[string]reports.Verdict{"shop": verdictOf(reports.Promote, version)}
	}
	sha, ref := []Deployment{{Service: "shop", Version: "sha"}}, []Deployment{{Service: "shop", Version: "ref"}}
	f("approved 204", sha, on("6dcb09b5b57875f334f61aebed695e2e4193db5e"))
	f("approved 204", sha, on("6dcb09b"))
	f(" 204", sha, on("6dcb09"))
	f(" 204", sha, on("7dcb09b"))
	f(" 204", sha, on(""))
	f(" 204", sha, map[string]reports.Verdict{"shop": verdictOf(reports.Rollback, "1.9")}) // of the build before
	f("approved 204", ref, on("v2.0.0"))
	f(" 204", ref, on("v2.0.1"))
	f(" 204", []Deployment{{Service: "cart"}}, on("v2.0.0"))
	both := []Deployment{{Service: "shop"}, {Service: "cart"}}
	f(" 204", both, on("v2.0.0"))
	f("approved 204", both, map[string]reports.Verdict{"shop": verdictOf(reports.Promote, ""), "cart": verdictOf(reports.Promote, "")})
	f("rejected 204", both, map[string]reports.Verdict{"shop": verdictOf(reports.Hold, ""), "cart": verdictOf(reports.Rollback, "")})
	grouped := verdictOf(reports.Hold, "")
	grouped.Groups = []reports.GroupVerdict{{Group: "reads", Decision: reports.Promote}, {Group: "writes", Decision: reports.Hold}}
	f("approved 204", []Deployment{{Service: "shop", Group: "reads"}}, map[string]reports.Verdict{"shop": grouped})
	f(" 204", []Deployment{{Service: "shop", Group: "writes"}}, map[string]reports.Verdict{"shop": grouped})
	f(" 204", []Deployment{{Service: "shop", Group: "none"}}, map[string]reports.Verdict{"shop": grouped})

	g := newGate(t)
	g.verdicts["shop"] = verdictOf(reports.Hold, "")
	g.take(t, g.requested("production", "1"))
	g.look(t.Context())
	g.pass(24*time.Hour - time.Second)
	g.look(t.Context())
	g.pass(time.Second)
	g.look(t.Context())
	if got := g.hub.answers(); got != " 204, rejected 204" || !strings.Contains(g.hub.told[1]["comment"], "no promote within 24h") {
		t.Errorf("after the wait: %q, %v", got, g.hub.told)
	}
}

// TestWhatIsNotTaken: what is not signed, is somebody else's, or would have a token sent elsewhere.
func TestWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	f := func(d Delivery, status int) {
		t.Helper()
		_, err := g.Take(d)
		refused := Refusal{}
		if !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("%.200s: %v, want %d", d.Body, err, status)
		}
	}
	good := g.requested("production", "1")
	f(Delivery{"deployment_protection_rule", "", []byte(good)}, 401)
	f(Delivery{"deployment_protection_rule", signed(good).Signature, []byte(good + " ")}, 401)
	f(Delivery{"ping", "sha256=", nil}, 401)
	f(signed("nonsense"), 400)
	f(signed(g.requested("staging", "1")), 404)
	for _, callback := range []string{
		"https://evil.example/repos/acme/shop/actions/runs/1/deployment_protection_rule", "http://127.0.0.1:1/", "",
		g.hub.URL + "/repos/acme/other/actions/runs/1/deployment_protection_rule", g.hub.URL + "/repos/acme/shop/actions/runs/../deployment_protection_rule",
		g.hub.URL + "@evil.example/repos/acme/shop/actions/runs/1/deployment_protection_rule", g.hub.URL + "/repos/acme/shop/actions/runs/1/deployment_protection_rule?x=",
	} {
		f(signed(strings.Replace(good, g.hub.URL+"/repos/acme/shop/actions/runs/1/deployment_protection_rule", callback, 1)), 422)
	}
	f(signed(strings.NewReplacer("acme/shop", "acme/../x").Replace(good)), 422)
	for body, event := range map[string]string{`{"zen":"x"}`: "ping", `{"action":"requested"}`: "workflow_run", `{"action":"done"}`: "deployment_protection_rule"} {
		d := signed(body)
		d.Event = event
		if said, err := g.Take(d); err != nil || said != "not asked for" {
			t.Errorf("%s: %q, %v", event, said, err)
		}
	}
	if g.Waiting() != 0 {
		t.Errorf("%d wait", g.Waiting())
	}
	for run := range maxWaiting {
		g.take(t, g.requested("production", fmt.Sprint(run)))
	}
	g.take(t, g.requested("production", "3")) // once more
	f(signed(g.requested("production", "1000")), 503)
}

// TestGitHubMayBeAway, be slow, take its token back, or refuse; and this process may end meanwhile.
func TestGitHubMayBeAway(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.verdicts["shop"] = verdictOf(reports.Promote, "")
	g.take(t, g.requested("production", "1"))
	g.hub.fail = 503
	g.look(t.Context())
	g.look(t.Context()) // not again at once
	if got := g.hub.answers(); got != "approved 503" || strings.Count(g.log.String(), "cannot be answered yet") != 1 {
		t.Errorf("%q\n%s", got, &g.log)
	}
	g.open(t) // as after a restart
	g.look(t.Context())
	g.pass(5 * time.Second)
	g.look(t.Context())
	g.pass(5 * time.Second)
	g.look(t.Context())
	if got := g.hub.answers(); got != "approved 503, approved 503, approved 503" {
		t.Errorf("%q: asked more often than the pause allows", got)
	}
	g.hub.fail, g.hub.revoked = 0, true
	g.pass(time.Minute)
	g.look(t.Context())
	g.pass(time.Minute)
	g.look(t.Context())
	if got := g.hub.answers(); !strings.HasSuffix(got, "approved 401, approved 204") || g.Waiting() != 0 {
		t.Errorf("%q, %d wait", got, g.Waiting())
	}
	g.take(t, g.requested("production", "2"))
	g.hub.fail = 422
	g.look(t.Context())
	if g.Waiting() != 0 || !strings.Contains(g.log.String(), "does not wait any more") {
		t.Errorf("%d wait after a refusal\n%s", g.Waiting(), &g.log)
	}
	g.take(t, g.requested("production", "3"))
	g.hub.Close()
	g.look(t.Context())
	if g.Waiting() != 1 || !strings.Contains(g.log.String(), "GitHub does not answer") {
		t.Errorf("%d wait\n%s", g.Waiting(), &g.log)
	}
	if pause(1) != 5*time.Second || pause(2) != 10*time.Second || pause(7) != 5*time.Minute || pause(1000) != 5*time.Minute {
		t.Error("pauses are others")
	}
}

// TestRunAnswersAtOnce what comes while it runs, and ends with its context.
func TestRunAnswersAtOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.verdicts["shop"] = verdictOf(reports.Promote, "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	g.take(t, g.requested("production", "1"))
	for g.Waiting() > 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := g.hub.answers(); got != "approved 204" {
		t.Errorf("%q", got)
	}
}

func TestFaultsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	good := newGate(t).cfg
	f := func(path string, change func(*Config)) {
		t.Helper()
		c := good
		c.Deployments = []Deployment{good.Deployments[0]}
		change(&c)
		if faults := c.Validate(); len(faults) != 1 || faults[0].Path != path {
			t.Errorf("%v, want one fault at %s", faults, path)
		}
	}
	f("api", func(c *Config) { c.API = "http://github.example" })
	f("api", func(c *Config) { c.API = "https://github.example/api/v3/" })
	f("app", func(c *Config) { c.App = "" })
	f("wait", func(c *Config) { c.Wait = time.Second })
	f("secret_file", func(c *Config) { c.SecretFile = "" })
	f("key_file", func(c *Config) { c.KeyFile = c.SecretFile })
	f("deployments[0].repository", func(c *Config) { c.Deployments[0].Repository = "shop" })
	f("deployments[0].environment", func(c *Config) { c.Deployments[0].Environment = "" })
	f("deployments[0].service", func(c *Config) { c.Deployments[0].Service = "" })
	f("deployments[0].version", func(c *Config) { c.Deployments[0].Version = "tag" })
	if faults := DefaultConfig().Validate(); len(faults) > 0 {
		t.Errorf("without deployments: %v", faults)
	}
	if g, err := Open(DefaultConfig(), "", nil, nil, nil); g != nil || err != nil {
		t.Errorf("without deployments: %v, %v", g, err)
	}
}
