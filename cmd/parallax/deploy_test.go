package main

import (
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const composeDir = "../../deploy/compose/"

// compose reads deploy/compose/compose.yaml as Compose does, with secrets that are made
// for it.
func compose(t *testing.T) (p *types.Project, secrets string) {
	t.Helper()
	secrets = t.TempDir()
	if out, err := exec.Command("bash", composeDir+"secrets.sh", secrets).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	options, err := cli.NewProjectOptions([]string{composeDir + "compose.yaml"}, cli.WithoutEnvironmentResolution)
	if err == nil {
		p, err = options.LoadProject(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, secrets
}

// pinned is an image with a version to its last part, of which PostgreSQL has two: another
// one of the same name is another version.
var pinned = regexp.MustCompile(`(:v?\d+(\.\d+){2,3}|^postgres:\d+\.\d+)(-[a-z]+)?$`)

// TestComposeIsHardened: every container has a version, a user, limits and a health check,
// and none may write to its root or gain privileges.
func TestComposeIsHardened(t *testing.T) {
	t.Parallel()
	p, _ := compose(t)
	if len(p.Services) < 15 {
		t.Fatalf("there are %d services", len(p.Services))
	}
	for name, s := range p.Services {
		f := func(good bool, what string) {
			t.Helper()
			if !good {
				t.Errorf("%s: %s", name, what)
			}
		}
		f(s.Build != nil && strings.HasSuffix(s.Image, ":local") || s.Build == nil && pinned.MatchString(s.Image), "its image is not pinned: "+s.Image)
		f(regexp.MustCompile(`^[1-9]\d*:\d+$`).MatchString(s.User), "its user is "+s.User)
		f(s.ReadOnly && !s.Privileged && len(s.CapAdd) == 0, "it may write to its root, or has privileges")
		f(slices.Equal(s.CapDrop, []string{"ALL"}) && slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "it keeps capabilities")
		f(s.NetworkMode == "" && s.Pid == "" && s.Ipc == "", "it shares a namespace of the machine")
		limits := s.Deploy.Resources.Limits
		f(limits != nil && limits.MemoryBytes > 0 && limits.NanoCPUs > 0 && limits.Pids > 0, "it has no limits")
		f(name == "shoppers" || s.HealthCheck != nil && len(s.HealthCheck.Test) > 1, "nobody asks whether it is well")
		for _, port := range s.Ports {
			f(netip.MustParseAddr(port.HostIP).IsLoopback(), "it is published on "+port.HostIP)
		}
		for key, value := range s.Environment {
			f(!strings.Contains(key, "PASSWORD") || value != nil && strings.HasPrefix(*value, "/run/secrets/"), key+" is no file")
		}
		for other := range s.DependsOn {
			f(p.Services[other].HealthCheck != nil, "it waits for "+other+", which nobody asks")
		}
	}
}

// TestComposeFindsItsFiles: what is mounted is there, what a secret names secrets.sh makes,
// and every secret that a process looks for is given to it.
func TestComposeFindsItsFiles(t *testing.T) {
	t.Parallel()
	p, secrets := compose(t)
	for name, secret := range p.Secrets {
		info, err := os.Stat(filepath.Join(secrets, filepath.Base(secret.File)))
		if err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 {
			t.Errorf("secret %s: %v", name, err)
		}
	}
	if info, err := os.Stat(secrets); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of secrets: %v, %v", info.Mode(), err)
	}
	looked := regexp.MustCompile(`/run/secrets/([a-z.-]+)`)
	for name, s := range p.Services {
		said, err := yaml.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			info, err := os.Stat(v.Source)
			if err != nil || !v.ReadOnly {
				t.Errorf("%s: %s: %v, read-only %t", name, v.Source, err, v.ReadOnly)
			} else if info.Mode().IsRegular() {
				text, err := os.ReadFile(v.Source)
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, text...)
			}
		}
		given := map[string]bool{}
		for _, secret := range s.Secrets {
			given[secret.Source] = true
		}
		for _, use := range looked.FindAllStringSubmatch(string(said), -1) {
			if !given[use[1]] {
				t.Errorf("%s looks for %s, which it is not given", name, use[0])
			}
		}
	}
}

// parallaxes are the processes of Parallax with their roles.
func parallaxes(t *testing.T, p *types.Project) map[string]roles {
	t.Helper()
	out := map[string]roles{}
	for name, s := range p.Services {
		if s.Build == nil || s.Build.Target != "parallax" {
			continue
		}
		var file, of string
		set := env{stderr: os.Stderr}.flags("serve", serveUsage)
		set.StringVar(&file, "c", "", "")
		set.StringVar(&of, "roles", "", "")
		if len(s.Command) == 0 || s.Command[0] != "serve" || set.Parse(s.Command[1:]) != nil || set.NArg() > 0 {
			t.Fatalf("%s runs %q", name, s.Command)
		}
		plays, err := parseRoles(of)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == file })
		if i < 0 || filepath.Base(s.Volumes[i].Source) != "parallax.yaml" {
			t.Fatalf("%s: %s is not mounted", name, file)
		}
		out[name] = plays
	}
	return out
}

// composeConfig is the configuration, with the secrets where they are here.
func composeConfig(t *testing.T, secrets string, of roles) Config {
	t.Helper()
	text, err := os.ReadFile(composeDir + "parallax.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "parallax.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "/run/secrets", secrets)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, faults, err := loadConfigOf(file, of)
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	return cfg
}

// TestComposeMeets: the configuration is good for each role, and whatever it names is a
// service on a network that both are on, at the port where it listens.
func TestComposeMeets(t *testing.T) {
	t.Parallel()
	p, secrets := compose(t)
	count := map[roles]int{}
	for name, of := range parallaxes(t, p) {
		count[of]++
		s, cfg := p.Services[name], composeConfig(t, secrets, of)
		reached := []string{cfg.Store.ClickHouse, cfg.Queue.URL, cfg.Steps.URL, cfg.Identifiers.URL}
		if of.plays(partMirror) {
			reached = append(reached, cfg.Services[0].Primary.URLs[0].URL, cfg.Services[0].Candidate.URLs[0].URL)
		}
		for _, address := range reached {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			other, err := p.GetService(u.Hostname())
			if err != nil || !meet(s, other) || listensOn(other) != u.Port() {
				t.Errorf("%s does not reach %s: %v", name, u.Redacted(), err)
			}
		}
		for what, folder := range map[string]string{"state_dir": cfg.StateDir, "keys": path.Dir(cfg.Keys)} {
			if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
				return v.Type == types.VolumeTypeVolume && v.Target == folder
			}) {
				t.Errorf("%s: %s lies in %s, which nothing keeps", name, what, folder)
			}
		}
		if want := "http://127.0.0.1" + cfg.Admin.Listen[strings.LastIndex(cfg.Admin.Listen, ":"):] + "/readyz"; !slices.Equal(s.HealthCheck.Test, []string{"CMD", "/usr/local/bin/parallax", "healthy", want}) {
			t.Errorf("%s: its health check is %q", name, s.HealthCheck.Test)
		}
		if !slices.Contains(cfg.Admin.Hosts, name) {
			t.Errorf("%s is not of admin.hosts, so that Prometheus is refused", name)
		}
		for _, port := range s.Ports {
			if port.Published != "7070" || port.Target != 7070 || !of.plays(partUI) {
				t.Errorf("%s publishes %+v", name, port)
			}
		}
	}
	if count[partMirror] != 2 || count[partCompare] != 2 || count[partUI] != 1 || count[partPolicy] != 1 {
		t.Errorf("the processes are %v", count)
	}
}

func meet(a, b types.ServiceConfig) bool {
	for network := range a.Networks {
		if _, ok := b.Networks[network]; ok {
			return true
		}
	}
	return false
}

// listensOn is the port that a service serves: what its health check asks, or what its
// kind always has.
func listensOn(s types.ServiceConfig) string {
	if name, _, _ := strings.Cut(s.Image, ":"); name == "redis" {
		return "6379"
	}
	for _, word := range s.HealthCheck.Test {
		if u, err := url.Parse(word); err == nil && u.Scheme == "http" {
			return u.Port()
		}
	}
	return ""
}

// TestComposeProxyAndMetrics: HAProxy knows all mirrors, Prometheus all processes.
func TestComposeProxyAndMetrics(t *testing.T) {
	t.Parallel()
	p, secrets := compose(t)
	proxy, err := os.ReadFile(composeDir + "haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	var prometheus struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	text, err := os.ReadFile(composeDir + "prometheus.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &prometheus)
	}
	if err != nil {
		t.Fatal(err)
	}
	scraped := prometheus.ScrapeConfigs[0].StaticConfigs[0].Targets
	cfg := composeConfig(t, secrets, 0)
	_, admin, _ := strings.Cut(cfg.Admin.Listen, ":")
	_, callers, _ := strings.Cut(cfg.Services[0].Listen, ":")
	for name, of := range parallaxes(t, p) {
		if line := "server " + name + " " + name + ":" + callers + "\n"; strings.Contains(string(proxy), line) != of.plays(partMirror) {
			t.Errorf("haproxy.cfg and %q", line)
		}
		if !slices.Contains(scraped, name+":"+admin) || !meet(p.Services["prometheus"], p.Services[name]) {
			t.Errorf("Prometheus does not ask %s", name)
		}
	}
	if len(scraped) != len(parallaxes(t, p)) || !strings.Contains(string(proxy), "check port "+admin) {
		t.Errorf("%q is scraped; HAProxy asks another port than %s", scraped, admin)
	}
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not here: make setup-test installs it") // the rest is checked
	}
	if out, err := exec.Command(haproxy, "-c", "-f", composeDir+"haproxy.cfg").CombinedOutput(); err != nil {
		t.Errorf("haproxy.cfg: %v\n%s", err, out)
	}
}

// TestDockerfile: what the images are made from is pinned, what compose.yaml builds is a
// stage, and the last two run as nobody.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	p, _ := compose(t)
	text, err := os.ReadFile(composeDir + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]string{}
	for _, stage := range strings.Split(string(text), "\nFROM ")[1:] {
		words := strings.Fields(stage)
		if base := words[0]; base != "scratch" && !pinned.MatchString(base) {
			t.Errorf("FROM %s is not pinned", base)
		}
		stages[words[2]] = stage
	}
	for name, s := range p.Services {
		if s.Build == nil {
			continue
		}
		root, err := os.Stat(filepath.Join(s.Build.Context, "go.mod"))
		if err != nil || !root.Mode().IsRegular() {
			t.Errorf("%s is built from %s: %v", name, s.Build.Context, err)
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		if stage, ok := stages[s.Build.Target]; !ok || !strings.Contains(stage, "\nUSER "+s.User+"\n") {
			t.Errorf("%s: the stage %q does not run as %s", name, s.Build.Target, s.User)
		}
	}
	if version := regexp.MustCompile(`FROM golang:(\d+\.\d+)`).FindStringSubmatch(string(text)); version == nil || !strings.Contains(goMod(t), "\ngo "+version[1]) {
		t.Errorf("the image is built with Go %q, go.mod asks for another", version)
	}
}

func goMod(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
