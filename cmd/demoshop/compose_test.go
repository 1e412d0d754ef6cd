package main

import (
	"io"
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"parallax/cmd/demoshop/shop"
)

// TestComposeCommands: what deploy/compose starts takes these arguments.
func TestComposeCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct{ Command []string }
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	f := func(name, version string) {
		t.Helper()
		o, listen, err := arguments(compose.Services[name].Command, io.Discard)
		if err != nil || o.Version != version || listen != "0.0.0.0:8000" || o.DSN == "" {
			t.Errorf("%s: %+v on %s, %v", name, o, listen, err)
		}
		for _, defect := range o.Defects {
			if !slices.ContainsFunc(shop.Defects(), func(d shop.Defect) bool { return d.Name == defect }) {
				t.Errorf("%s: there is no defect %q", name, defect)
			}
		}
	}
	f("shop-old", "old")
	f("shop-new", "new")
	command := compose.Services["shoppers"].Command
	if len(command) == 0 || command[0] != "shoppers" {
		t.Fatalf("shoppers run %q", command)
	}
	if o, err := shoppersOf(command[1:], io.Discard); err != nil || o.Base != "http://haproxy:8080" || o.Visits != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}
