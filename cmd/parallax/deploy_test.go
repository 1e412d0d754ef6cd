package main

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestComposeFile holds the compose file against the configuration beside it:
// the configuration is good, and what it reaches for is published where it looks.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	const dir = "../../deploy/compose/"
	cfg, faults, err := loadConfig(dir + "parallax.yaml")
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	text, err := os.ReadFile(dir + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command []string
			Volumes []string
			Ports   []string
			Build   struct{ Dockerfile, Context string }
		}
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	reached := map[string]string{"primary": cfg.Services[0].Primary.URLs[0].URL, "candidate": cfg.Services[0].Candidate.URLs[0].URL, "clickhouse": cfg.Store.ClickHouse}
	for name, address := range reached {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if ports := compose.Services[name].Ports; len(ports) != 1 || !strings.HasPrefix(ports[0], u.Host+":") {
			t.Errorf("%s publishes %v, the configuration looks for it on %s", name, ports, u.Host)
		}
	}
	p := compose.Services["parallax"]
	if len(p.Command) != 3 || p.Command[0] != "serve" || p.Volumes[0] != "./parallax.yaml:"+p.Command[2]+":ro" {
		t.Errorf("parallax runs %v with %v", p.Command, p.Volumes)
	}
	for name, s := range compose.Services {
		if s.Build.Dockerfile == "" {
			continue
		}
		if _, err := os.Stat(dir + s.Build.Context + "/" + s.Build.Dockerfile); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
