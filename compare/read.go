package compare

import (
	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/internal/yamlstrict"
)

// ReadRules reads rules from YAML or JSON, a list of them or rules: with the list,
// and returns everything that is wrong with them, each fault with its line. Name is
// what faults call the text. Rules without fault are returned whatever else is
// wrong; of a text without any it is an empty list.
func ReadRules(name string, text []byte) ([]Rule, []yamlstrict.Fault) {
	var file struct {
		Rules []Rule `yaml:"rules"`
	}
	prefix, into := "rules", any(&file)
	var top yaml.Node
	if yaml.Unmarshal(text, &top) == nil && len(top.Content) > 0 && top.Content[0].Kind == yaml.SequenceNode {
		prefix, into = "", &file.Rules
	}
	document, faults := yamlstrict.Decode(name, text, into)
	if len(faults) > 0 {
		return []Rule{}, faults
	}
	rules, wrong := Compile(file.Rules)
	for _, f := range parallax.Under(prefix, wrong) {
		faults = append(faults, document.At(f.Path, f.Text, f.Hint))
	}
	return append([]Rule{}, rules.List()...), faults
}
