package demo

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// Service is the name of the demo's service.
const Service = "httpbin"

//go:embed demo.yaml.tmpl
var configTemplate string

// configValues is what the demo fills into its configuration.
type configValues struct {
	Old, New                      Release
	Dir                           string // everything that is kept is under it
	Admin, Proxy                  string // host:port
	Primary, Candidate, Secondary string // URLs
	Endpoints                     []Endpoint
}

// Data is where the embedded engine keeps its files.
func (v configValues) Data() string { return filepath.Join(v.Dir, "data") }

// State is where the step is kept.
func (v configValues) State() string { return filepath.Join(v.Dir, "state") }

// Keys is the file that Parallax's keys are made in.
func (v configValues) Keys() string { return filepath.Join(v.Dir, "keys") }

// render returns the configuration as people read it.
func (v configValues) render() (string, error) {
	parsed, err := template.New("demo.yaml").Parse(configTemplate)
	if err != nil {
		return "", fmt.Errorf("cannot read the demo's configuration: %w", err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, v); err != nil {
		return "", fmt.Errorf("cannot write the demo's configuration: %w", err)
	}
	return text.String(), nil
}

// write renders the configuration into demo.yaml in its folder and returns the
// file's path.
func (v configValues) write() (string, error) {
	text, err := v.render()
	if err != nil {
		return "", err
	}
	path := filepath.Join(v.Dir, "demo.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("cannot write the demo's configuration: %w", err)
	}
	return path, nil
}
