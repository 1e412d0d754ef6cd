package demo

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	"parallax/cmd/demoshop/shop"
)

//go:embed shop.yaml.tmpl
var shopTemplate string

// ShopConfig is what is filled into the configuration of a Parallax between both
// versions of the demo shop.
type ShopConfig struct {
	Dir                string // everything that is kept is under it; empty: Parallax's defaults
	Admin, Proxy       string // host:port
	Primary, Candidate string // URLs of the old version and of the new one
	OldDSN, NewDSN     string // of their databases
	Egress             string // host:port of the proxy that they mail through
	Mail               string // host:port where mails go
}

// sink is what mails are called as effects. The rows about them are in a table mails.
const sink = "sent_mails"

// Sink is what mails are called as effects.
func (c ShopConfig) Sink() string { return sink }

// Data is where the embedded engine keeps its files.
func (c ShopConfig) Data() string { return filepath.Join(c.Dir, "data") }

// State is where the step is kept.
func (c ShopConfig) State() string { return filepath.Join(c.Dir, "state") }

// Keys is the file that Parallax's keys are made in.
func (c ShopConfig) Keys() string { return filepath.Join(c.Dir, "keys") }

// Tables are those of both versions.
func (c ShopConfig) Tables() []shop.Table { return shop.Tables() }

// Old lists the old version's tables.
func (c ShopConfig) Old() string {
	return tableNames(func(t shop.Table) string { return t.Old })
}

// New lists the new version's tables.
func (c ShopConfig) New() string {
	return tableNames(func(t shop.Table) string { return t.New })
}

func tableNames(of func(shop.Table) string) string {
	var names []string
	for _, t := range shop.Tables() {
		names = append(names, of(t))
	}
	return strings.Join(names, ", ")
}

// Render returns the configuration as people read it.
func (c ShopConfig) Render() (string, error) {
	parsed, err := template.New("shop.yaml").Funcs(template.FuncMap{
		"join": func(list []string) string { return strings.Join(list, ", ") },
		"flow": flowMapping,
	}).Parse(shopTemplate)
	if err != nil {
		return "", fmt.Errorf("cannot read the demo shop's configuration: %w", err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, c); err != nil {
		return "", fmt.Errorf("cannot write the demo shop's configuration: %w", err)
	}
	return text.String(), nil
}

// flowMapping writes pairs as a mapping of YAML in one line.
func flowMapping(pairs [][2]string) string {
	var list []string
	for _, p := range pairs {
		list = append(list, p[0]+": "+p[1])
	}
	return "{ " + strings.Join(list, ", ") + " }"
}
