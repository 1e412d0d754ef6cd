package yamlstrict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"parallax/internal/yamlstrict"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestSchemaAgreesWithDecode gives the same documents to both and wants the same
// answer.
func TestSchemaAgreesWithDecode(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(yamlstrict.Schema(reflect.TypeFor[config]()))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	f := func(document string, good bool) {
		t.Helper()
		_, faults := yamlstrict.Decode("c.yaml", []byte(document), &config{})
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			t.Fatal(err)
		}
		err := schema.Validate(value)
		if (len(faults) == 0) != good || (err == nil) != good {
			t.Errorf("%q: decode %v, schema %v; want good = %v", document, faults, err, good)
		}
	}
	f("name: shop", true)
	f("name: 7", true)
	f("sample: 0.5", true)
	f("sample: half", false)
	f("limit: 3", true)
	f("limit: 3.5", false)
	f("limit:", true)
	f("timeout: 1m30s", true)
	f("timeout: 90", false)
	f("max: 1MiB", true)
	f("legs: [{urls: [a], state: own}]", true)
	f("legs: [{urls: a}]", false)
	f("pins: {x: {state: own}}", true)
	f("pins: {x: own}", false)
	f("other: {stat: own}", false)
}
