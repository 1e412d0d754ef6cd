package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"parallax/internal/rig"
)

// compound is the set of deploy/compose as plain processes of this machine. A service has a
// loopback address of its own instead of a network namespace, so that all keep their ports;
// files are taken as they are, with names and folders replaced by those here.
//
// In place of ClickHouse stands the engine, which the policy keeps and shows by a socket.
type compound struct {
	t         *testing.T
	project   *types.Project
	dir       string
	secrets   string
	addresses map[string]string // by service
	programs  map[string]string // by the target that an image is built for, or its name
	running   map[string]*exec.Cmd
}

// TestComposeSmoke starts all of deploy/compose, sends shoppers through it, and looks at
// pages, metrics and the accounting; then everything ends in order. It is for make
// compose-smoke, which sets COMPOSE_SMOKE.
func TestComposeSmoke(t *testing.T) {
	if os.Getenv("COMPOSE_SMOKE") == "" {
		t.Skip("make compose-smoke runs it")
	}
	c := newCompound(t)
	for _, name := range []string{"postgres-old", "postgres-new"} {
		c.addresses[name] = c.database(name)
	}
	c.start("redis")
	c.start("policy")
	for _, name := range []string{"shop-old", "shop-new", "worker1", "worker2", "ui", "mirror1", "mirror2", "haproxy", "prometheus"} {
		c.start(name)
	}
	const visits = 6
	out, err := exec.Command(c.programs["demoshop"], "shoppers", "--shop", "http://"+c.addresses["haproxy"]+":8080", "--count", "8", "--visits", fmt.Sprint(visits), "--rate", "200").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("shoppers complain: %v", err)
	}
	var sent int64
	if _, err := fmt.Sscanf(regexp.MustCompile(`(\d+) requests, 0 complaints`).FindString(string(out)), "%d requests", &sent); err != nil || sent < 100 {
		t.Fatalf("%d requests were sent: %v", sent, err)
	}
	c.accounting(sent)
	c.pages()
	c.verdict()
	c.metrics(sent)
	c.end()
}

func newCompound(t *testing.T) *compound {
	t.Helper()
	p, secrets := compose(t)
	dir, err := os.MkdirTemp("", "smoke") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	shop := filepath.Join(dir, "demoshop")
	if out, err := exec.Command("go", "build", "-o", shop, "parallax/cmd/demoshop").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := &compound{
		t: t, project: p, dir: dir, secrets: secrets, addresses: map[string]string{}, running: map[string]*exec.Cmd{},
		programs: map[string]string{"parallax": rig.Binary(t), "demoshop": shop},
	}
	for i, name := range p.ServiceNames() {
		c.addresses[name] = fmt.Sprintf("127.7.0.%d", i+1)
	}
	return c
}

// database starts a PostgreSQL as the service says, and returns where it is.
func (c *compound) database(name string) string {
	c.t.Helper()
	var settings []string
	for _, word := range c.project.Services[name].Command {
		if strings.Contains(word, "=") {
			settings = append(settings, word)
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", rig.Postgres(c.t, settings...).Port)
}

// here is a text of a service, as it is for the process here.
func (c *compound) here(name, text string) string {
	for _, other := range []string{"postgres-old", "postgres-new"} {
		text = strings.ReplaceAll(text, "shop@"+other+":5432/shop", "postgres@"+c.addresses[other]+"/postgres")
	}
	text = regexp.MustCompile(`(@|//|[\s\[,])(`+strings.Join(c.project.ServiceNames(), "|")+`):(\d)`).ReplaceAllStringFunc(text, func(found string) string {
		before, port, _ := strings.Cut(found, ":")
		if strings.HasPrefix(found, "//") {
			before, port, _ = strings.Cut(found[2:], ":")
			return "//" + c.addresses[before] + ":" + port
		}
		return before[:1] + c.addresses[before[1:]] + ":" + port
	})
	own := filepath.Join(c.dir, name)
	return strings.NewReplacer(
		"0.0.0.0", c.addresses[name], "//127.0.0.1:", "//"+c.addresses[name]+":", "bind :", "bind "+c.addresses[name]+":",
		"http://parallax@"+c.addresses["clickhouse"]+":8123/parallax\", password_file: /run/secrets/clickhouse-password", "unix://"+filepath.Join(c.dir, "engine")+`"`,
		"/run/secrets", c.secrets, "/var/lib/parallax/state", filepath.Join(own, "state"), "/var/lib/parallax/keys", filepath.Join(c.dir, "keys"),
		" resolvers docker init-addr libc,none", "", "/data", own, "=/prometheus", "="+own,
	).Replace(text)
}

// start starts a service with its command and its files, and waits until its health check
// is content.
func (c *compound) start(name string) {
	c.t.Helper()
	s := c.project.Services[name]
	own := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Join(own, "state"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	args := slices.Clone([]string(s.Command))
	for _, v := range s.Volumes {
		if info, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err == nil && info.Mode().IsRegular() {
			args = c.file(name, v, args)
		}
	}
	for i, a := range args {
		args[i] = c.here(name, a)
	}
	program, args := c.program(s, own, args)
	log, err := os.Create(filepath.Join(own, "log"))
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = own, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.running[name] = cmd
	c.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); c.t.Failed() && err == nil {
			c.t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	rig.Eventually(c.t, name+" is healthy", func() error { return c.healthy(name, s) })
}

// file writes a file that a service is given, as it is for the process here, and names it
// in the arguments.
func (c *compound) file(name string, v types.ServiceVolumeConfig, args []string) []string {
	c.t.Helper()
	text, err := os.ReadFile(v.Source)
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.dir, name, filepath.Base(v.Source))
	said := c.here(name, string(text))
	if name == "policy" {
		said = strings.Replace(said, fmt.Sprintf("clickhouse: %q", "unix://"+filepath.Join(c.dir, "engine")), fmt.Sprintf("dir: %q, socket: %q", filepath.Join(c.dir, "data"), filepath.Join(c.dir, "engine")), 1)
	}
	if err := os.WriteFile(path, []byte(said), 0o600); err != nil {
		c.t.Fatal(err)
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, v.Target, path)
	}
	return args
}

// program is what an image runs.
func (c *compound) program(s types.ServiceConfig, own string, args []string) (string, []string) {
	if s.Build != nil {
		return c.programs[s.Build.Target], args
	}
	switch name, _, _ := strings.Cut(filepath.Base(s.Image), ":"); name {
	case "haproxy":
		return "haproxy", []string{"-db", "-f", filepath.Join(own, "haproxy.cfg")}
	case "prometheus":
		return "prometheus", append(args, "--web.listen-address="+c.addresses["prometheus"]+":9090")
	}
	return args[0], args[1:]
}

// healthy asks what the health check of the service asks.
func (c *compound) healthy(name string, s types.ServiceConfig) error {
	for _, word := range s.HealthCheck.Test {
		u, err := url.Parse(word)
		if err != nil || u.Scheme != "http" {
			continue
		}
		out, err := exec.Command(c.programs["parallax"], "healthy", "http://"+c.addresses[name]+":"+u.Port()+u.Path).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	check := exec.Command("bash", "-c", strings.NewReplacer("$$", "$", "/run/secrets", c.secrets, "redis-cli", "redis-cli -h "+c.addresses[name]).Replace(s.HealthCheck.Test[1]))
	return check.Run()
}

// token is a secret that callers of the admin listener use.
func (c *compound) token(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.secrets, "token-"+name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// get asks the admin listener of a service as the holder of a token, nobody for none.
func (c *compound) get(service, path, token string) (status int, body string, err error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+c.addresses[service]+":7070"+path, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token(token))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), errors.Join(err, answer.Body.Close())
}

// accounting waits until every request has come to its end, and holds that against what was
// sent.
func (c *compound) accounting(sent int64) {
	c.t.Helper()
	rig.Eventually(c.t, "everything is accounted for", func() error {
		status, text, err := c.get("ui", "/api/v1/services/shop/report", "admin")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d, %w", status, err)
		}
		var r fleetReport
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		if r.Accounting.Received != sent || r.compared() != sent || r.Accounting.InFlight != 0 || r.lost() != 0 || r.Accounting.Compared["match"] == 0 || r.Accounting.Compared["diverged"] == 0 {
			return fmt.Errorf("of %d requests: %+v", sent, r.Accounting)
		}
		c.t.Logf("%+v", r.Accounting)
		return nil
	})
}

// pages are for those who have a token, and found by the issues that the planted defect makes.
func (c *compound) pages() {
	c.t.Helper()
	f := func(path, token string, want int, holds string) {
		c.t.Helper()
		status, text, err := c.get("ui", path, token)
		if err != nil || status != want || !strings.Contains(text, holds) {
			c.t.Errorf("GET %s as %q: %d, %v, want %d with %q", path, token, status, err, want, holds)
		}
	}
	f("/", "admin", http.StatusOK, "shop")
	f("/services/shop", "admin", http.StatusOK, "POST /orders")
	f("/api/v1/services/shop/issues", "admin", http.StatusOK, "currency")
	f("/services/shop/issues", "prometheus", http.StatusForbidden, "") // a viewer sees no values
	f("/services/shop", "", http.StatusUnauthorized, "")
}

// verdict is what CI is told, with a token of its own.
func (c *compound) verdict() {
	c.t.Helper()
	rig.Eventually(c.t, "the verdict is rollback", func() error {
		out, err := exec.Command(c.programs["parallax"], "verdict", "--server", "http://"+c.addresses["ui"]+":7070", "--service", "shop", "--token-file", filepath.Join(c.secrets, "token-ci")).CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != verdictRollback || !strings.Contains(string(out), "Why rollback") {
			return fmt.Errorf("%w\n%s", err, out)
		}
		c.t.Logf("%s", out)
		return nil
	})
}

// metrics are what Prometheus has scraped: every process, and every request once.
func (c *compound) metrics(sent int64) {
	c.t.Helper()
	query := func(q string) (values map[string]string, err error) {
		answer, err := http.Get("http://" + c.addresses["prometheus"] + ":9090/api/v1/query?query=" + url.QueryEscape(q))
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		var r struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		values = map[string]string{}
		err = json.NewDecoder(answer.Body).Decode(&r)
		for _, each := range r.Data.Result {
			host, _, _ := strings.Cut(each.Metric["instance"], ":")
			values[host] = fmt.Sprint(each.Value[1])
		}
		return values, err
	}
	rig.Eventually(c.t, "Prometheus has everything", func() error {
		up, err := query("up")
		if err != nil {
			return err
		}
		for name := range parallaxes(c.t, c.project) {
			if up[c.addresses[name]] != "1" {
				return fmt.Errorf("%s is not scraped: %v", name, up)
			}
		}
		requests, err := query(`sum(parallax_requests_total{leg="primary",role="live"})`)
		if err != nil || requests[""] != fmt.Sprint(sent) {
			return fmt.Errorf("%v requests of %d, %w", requests, sent, err)
		}
		both, err := query(`sum by (instance) (parallax_requests_total{leg="primary",role="live"}) > 0`)
		if err != nil || len(both) != 2 {
			return fmt.Errorf("mirrors that served are %v, %w", both, err)
		}
		return nil
	})
}

// end ends everything as Compose does, callers' side first, and each with exit code 0.
func (c *compound) end() {
	c.t.Helper()
	for _, name := range []string{"prometheus", "mirror1", "mirror2", "worker1", "worker2", "ui", "policy", "shop-old", "shop-new", "redis"} {
		cmd := c.running[name]
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			c.t.Errorf("%s ends: %v", name, err)
		}
	}
}
