package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestEveryKeyIsDocumented walks the published schema.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		for name, p := range properties {
			keys++
			property := p.(map[string]any)
			if property["description"] == nil {
				t.Errorf("%s has no description", path+name)
			}
			walk(path+name+".", property)
		}
		for _, below := range []string{"items", "additionalProperties"} {
			if inner, ok := s[below].(map[string]any); ok {
				walk(path+"[].", inner)
			}
		}
	}
	walk("", root)
	if keys < 50 {
		t.Errorf("the schema has only %d keys", keys)
	}
}

// TestShippedConfigurations holds every configuration in the repository against
// the published schema and against the decoder.
func TestShippedConfigurations(t *testing.T) {
	t.Parallel()
	text, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("parallax.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("parallax.json")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(readme), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	compose, err := os.ReadFile("../../deploy/compose/parallax.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, document := range map[string]string{"README.md": example, "compose": string(compose)} {
		if _, faults := parseConfig(name, []byte(document)); len(faults) > 0 && name != "compose" { // whose secrets are files of its containers: TestComposeConfiguration
			t.Errorf("%s: %v", name, faults)
		}
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDesignedKeysAreKnown decodes the whole designed surface.
func TestDesignedKeysAreKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/designed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, faults := parseConfig("testdata/designed.yaml", text)
	for _, f := range faults {
		t.Error(f)
	}
}
