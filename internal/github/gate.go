// Package github answers GitHub's custom deployment protection rules: a deployment waits until the verdict on
// the service is promote, and is approved then; it is rejected on rollback, and after a wait.
//
// GitHub tells of a deployment by a signed webhook and takes the answer at a URL that comes with it, for which it wants a token of
// the App's installation. What was told of is kept on disk until it is answered.
package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"parallax/internal/atomicfile"
	"parallax/reports"
)

// Gate holds deployments until there is an answer. Its methods may be called from any goroutine.
type Gate struct {
	cfg     Config
	path    string // of what waits
	verdict func(service string) (reports.Verdict, bool)
	now     func() time.Time
	log     *slog.Logger
	client  *client
	wake    chan struct{}

	mu      sync.Mutex // for what follows, and the file
	waiting []deployment
}

// deployment is one that waits for an answer.
type deployment struct {
	Repository   string    `json:"repository"`
	Environment  string    `json:"environment"`
	SHA          string    `json:"sha"`
	Ref          string    `json:"ref"`
	Callback     string    `json:"callback"`
	Installation int64     `json:"installation"`
	Since        time.Time `json:"since"`
	Told         bool      `json:"told"` // that it waits, and for what

	failures int // to answer, in a row
	next     time.Time
}

func (d deployment) same(other deployment) bool {
	return d.Callback == other.Callback && d.Environment == other.Environment
}

// maxWaiting bounds how many deployments wait.
const maxWaiting = 100

// Open returns a gate, with what waited when the process before this one ended; nil for a configuration without
// deployments. path is the file it is kept in. verdict returns the verdict on a service, and must not block.
func Open(cfg Config, path string, verdict func(service string) (reports.Verdict, bool), now func() time.Time, log *slog.Logger) (*Gate, error) {
	if !cfg.given() {
		return nil, nil
	}
	g := &Gate{cfg: cfg, path: path, verdict: verdict, now: now, log: log, client: newClient(cfg, now), wake: make(chan struct{}, 1)}
	return g, g.Read()
}

// Read reads again what waits, once another process has let go of it. A nil gate has none.
func (g *Gate) Read() error {
	if g == nil {
		return nil
	}
	var waiting []deployment
	text, err := os.ReadFile(g.path)
	if err == nil {
		err = json.Unmarshal(text, &waiting)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the deployments that wait from %q: %w; remove the file, and GitHub asks again where the deployment is run again", g.path, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = waiting
	return nil
}

// Delivery is a request of GitHub's.
type Delivery struct {
	Event     string // X-GitHub-Event
	Signature string // X-Hub-Signature-256
	Body      []byte
}

// Refusal is why a delivery is not taken: an error.
type Refusal struct {
	Status int // of HTTP
	Word   string
	Text   string
}

func (r Refusal) Error() string { return r.Text }

// payload is what is looked at of a deployment_protection_rule event.
type payload struct {
	Action      string `json:"action"`
	Environment string `json:"environment"`
	Callback    string `json:"deployment_callback_url"`
	Deployment  struct {
		SHA string `json:"sha"`
		Ref string `json:"ref"`
	} `json:"deployment"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Installation struct {
		ID int64 `json:"id"`
	} `json:"installation"`
}

// Take takes a delivery, and says in a few words what becomes of it. One that comes again changes nothing. An error is a [Refusal], or
// that it cannot be kept.
func (g *Gate) Take(d Delivery) (string, error) {
	if err := g.signed(d); err != nil {
		return "", err
	}
	if d.Event != "deployment_protection_rule" {
		return "not asked for", nil
	}
	var p payload
	if err := json.Unmarshal(d.Body, &p); err != nil {
		return "", Refusal{http.StatusBadRequest, "bad_request", "the payload is no JSON of a deployment_protection_rule"}
	}
	if p.Action != "requested" {
		return "not asked for", nil
	}
	if !g.cfg.mayAnswer(p.Callback, p.Repository.FullName) {
		return "", Refusal{http.StatusUnprocessableEntity, "callback", "the callback is not that of a run of the repository at " + g.cfg.API}
	}
	if len(g.cfg.about(p.Repository.FullName, p.Environment)) == 0 {
		return "", Refusal{http.StatusNotFound, "not_found", fmt.Sprintf("no line of github.deployments is about environment %.100q of %.100q", p.Environment, p.Repository.FullName)}
	}
	return "waits for the verdict", g.keep(deployment{
		Repository: p.Repository.FullName, Environment: p.Environment, SHA: p.Deployment.SHA, Ref: p.Deployment.Ref,
		Callback: p.Callback, Installation: p.Installation.ID, Since: g.now().UTC(),
	})
}

// signed checks the signature: sha256= and the hexadecimal HMAC-SHA256 of the body, with the secret as its key.
func (g *Gate) signed(d Delivery) error {
	secret, err := readSecret(g.cfg.SecretFile)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(d.Body)
	if !hmac.Equal([]byte(d.Signature), []byte("sha256="+hex.EncodeToString(mac.Sum(nil)))) {
		return Refusal{http.StatusUnauthorized, "signature", "the delivery is not signed with the secret of github.secret_file"}
	}
	return nil
}

// mayAnswer reports whether a URL is where GitHub takes the answer for a run of a repository, and nothing else: a token goes there.
func (c Config) mayAnswer(callback, repository string) bool {
	owner, name, _ := strings.Cut(repository, "/")
	if !plain(owner) || !plain(name) {
		return false
	}
	rest, ok := strings.CutPrefix(callback, c.API+"/repos/"+repository+"/actions/runs/")
	run, ok2 := strings.CutSuffix(rest, "/deployment_protection_rule")
	return ok && ok2 && run != "" && len(run) <= 20 && strings.Trim(run, "0123456789") == ""
}

// about returns the lines about an environment of a repository. GitHub tells names apart by more than their case in neither.
func (c Config) about(repository, environment string) []Deployment {
	var out []Deployment
	for _, d := range c.Deployments {
		if strings.EqualFold(d.Repository, repository) && strings.EqualFold(d.Environment, environment) {
			out = append(out, d)
		}
	}
	return out
}

// keep adds a deployment to those that wait.
func (g *Gate) keep(d deployment) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case slices.ContainsFunc(g.waiting, d.same):
		return nil
	case len(g.waiting) >= maxWaiting:
		return Refusal{http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d deployments wait already", maxWaiting)}
	}
	next := append(slices.Clone(g.waiting), d)
	if err := g.write(next); err != nil {
		return err
	}
	g.waiting = next
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return nil
}

func (g *Gate) write(waiting []deployment) error {
	text, err := json.MarshalIndent(waiting, "", "  ")
	if err == nil {
		err = atomicfile.Replace(g.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot keep the deployments that wait: %w", err)
	}
	return nil
}

// Waiting returns how many deployments wait.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// lookEvery is how often verdicts are looked at.
const lookEvery = 2 * time.Second

// Run answers deployments until the context ends, and then returns nil. A nil gate has none.
func (g *Gate) Run(ctx context.Context) error {
	if g == nil {
		<-ctx.Done()
		return nil
	}
	beat := time.NewTicker(lookEvery)
	defer beat.Stop()
	for {
		g.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		case <-g.wake:
		}
	}
}

// look answers those whose turn it is, one after the other.
func (g *Gate) look(ctx context.Context) {
	g.mu.Lock()
	waiting := slices.Clone(g.waiting)
	g.mu.Unlock()
	for _, d := range waiting {
		if ctx.Err() != nil || g.now().Before(d.next) {
			continue
		}
		if a, due := g.answer(d); due {
			g.settle(d, a, g.client.send(ctx, d, a))
		}
	}
}

// answer is what GitHub is told of a deployment.
type answer struct {
	State   string // approved or rejected; empty: it waits
	Comment string
}

// answer returns what GitHub is to be told now, and whether it is to be told anything.
func (g *Gate) answer(d deployment) (answer, bool) {
	lines, late := g.cfg.about(d.Repository, d.Environment), !g.now().Before(d.Since.Add(g.cfg.Wait))
	state, said := "approved", []string{}
	for _, line := range lines {
		v, text := g.ask(line, d)
		said = append(said, text)
		switch {
		case v == reports.Rollback:
			state = "rejected"
		case v != reports.Promote && state == "approved":
			state = ""
		}
	}
	if len(lines) == 0 { // it was reloaded away; nobody says that it may go on
		state, said = "rejected", []string{"Parallax is not asked about this environment any more."}
	}
	if state == "" && late {
		state, said = "rejected", append(said, fmt.Sprintf("There was no promote within %s.", g.cfg.Wait))
	}
	return answer{state, short(strings.Join(said, "\n"))}, state != "" || !d.Told
}

// ask returns the verdict that a line asks for, and says it.
func (g *Gate) ask(line Deployment, d deployment) (reports.Decision, string) {
	v, known := g.verdict(line.Service)
	if known && line.Group != "" {
		v, known = v.ForGroup(line.Group)
	}
	if !known {
		return reports.Hold, fmt.Sprintf("%s: hold: there is no such service here, or no such group of its endpoints.", about(line))
	}
	switch line.Version {
	case "sha":
		if !isOf(v.CandidateVersion, d.SHA) {
			v = v.ForCandidate(d.SHA)
		}
	case "ref":
		v = v.ForCandidate(d.Ref)
	}
	return v.Decision, sentence(line, v)
}

// isOf reports whether a version is a commit, or the beginning of it as it is written mostly.
func isOf(version, sha string) bool {
	return version != "" && (version == sha || len(version) >= 7 && strings.HasPrefix(sha, version))
}

func about(line Deployment) string {
	if line.Group == "" {
		return line.Service
	}
	return line.Service + ", " + line.Group
}

func sentence(line Deployment, v reports.Verdict) string {
	text := fmt.Sprintf("%s: %s", about(line), v.Decision)
	if v.CandidateVersion != "" {
		text += " on " + v.CandidateVersion
	}
	for i, r := range v.Reasons {
		if i == 3 {
			return text + fmt.Sprintf(" And %d more.", len(v.Reasons)-i)
		}
		text += map[bool]string{true: ": ", false: " "}[i == 0] + r.Sentence()
	}
	if len(v.Reasons) == 0 {
		text += "."
	}
	if v.Chain != "" {
		text += " Chain " + v.Chain + "."
	}
	return text
}

// maxComment bounds a comment, in bytes.
const maxComment = 1000

func short(text string) string {
	if len(text) <= maxComment {
		return text
	}
	return strings.ToValidUTF8(text[:maxComment-3], "") + "..."
}

// settle notes how an answer went.
func (g *Gate) settle(d deployment, a answer, err error) {
	about := []any{"repository", d.Repository, "environment", d.Environment, "sha", d.SHA}
	final := finalError{}
	switch {
	case err == nil && a.State != "":
		g.log.Info("a deployment was answered", append(about, "state", a.State)...)
		g.change(d, nil)
	case err == nil:
		d.Told, d.failures, d.next = true, 0, time.Time{}
		g.change(d, &d)
	case errors.As(err, &final) && a.State != "":
		g.log.Warn("GitHub does not take the answer for a deployment: it does not wait any more", append(about, "error", err)...)
		g.change(d, nil)
	case errors.As(err, &final): // it may take the answer nevertheless
		d.Told = true
		g.change(d, &d)
	case g.now().After(d.Since.Add(maxWait)):
		g.log.Error("a deployment could not be answered in 30 days", append(about, "error", err)...)
		g.change(d, nil)
	default:
		if d.failures++; d.failures == 1 {
			g.log.Warn("a deployment cannot be answered yet", append(about, "error", err)...)
		}
		d.next = g.now().Add(pause(d.failures))
		g.change(d, &d)
	}
}

// pause is for how long GitHub is left alone after so many failures: 5 s, then twice as long each time, up to 5 min.
func pause(failures int) time.Duration {
	return min(5*time.Second<<min(failures-1, 10), 5*time.Minute)
}

// change puts another in the place of a deployment, or takes it out. If that cannot be written, it is answered again after
// a restart, which GitHub does not mind.
func (g *Gate) change(d deployment, to *deployment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.waiting, d.same)
	if i < 0 {
		return
	}
	next := slices.Clone(g.waiting)
	if to != nil {
		next[i] = *to
	} else {
		next = slices.Delete(next, i, i+1)
	}
	g.waiting = next
	if err := g.write(next); err != nil {
		g.log.Warn("what became of a deployment cannot be written", "error", err)
	}
}

// body is what GitHub takes.
func (a answer) body(environment string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	err := e.Encode(struct {
		Environment string `json:"environment_name"`
		State       string `json:"state,omitempty"`
		Comment     string `json:"comment"`
	}{environment, a.State, a.Comment})
	return b.Bytes(), err
}
