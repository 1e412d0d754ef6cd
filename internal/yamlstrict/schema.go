package yamlstrict

import (
	"encoding"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Schema returns the JSON Schema (draft 2020-12) of what Decode reads into a
// value of type t. Descriptions come from the fields' doc tags, closed sets of
// values from their enum tags (separated by commas).
func Schema(t reflect.Type) map[string]any {
	schema := typeSchema(t)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	return schema
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	yamlUnmarshaler = reflect.TypeFor[yaml.Unmarshaler]()
)

func typeSchema(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		return typeSchema(t.Elem())
	}
	switch {
	case t == durationType:
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$|^0$`}
	case reflect.PointerTo(t).Implements(yamlUnmarshaler):
		return map[string]any{} // reads several shapes; its doc says which
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return map[string]any{"type": []string{"string", "integer"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": typeSchema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": typeSchema(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	}
	return map[string]any{"type": "integer"}
}

func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for name, index := range Fields(t) {
		field := t.FieldByIndex(index)
		property := typeSchema(field.Type)
		if values := field.Tag.Get("enum"); values != "" {
			property = map[string]any{"enum": strings.Split(values, ",")}
		}
		if doc := field.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		properties[name] = orNull(property)
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// orNull lets a key be written and left empty, which keeps its default.
func orNull(schema map[string]any) map[string]any {
	switch typ := schema["type"].(type) {
	case string:
		schema["type"] = []string{typ, "null"}
	case []string:
		schema["type"] = append(typ, "null")
	}
	if values, ok := schema["enum"].([]string); ok {
		list := make([]any, 0, len(values)+1)
		for _, v := range values {
			list = append(list, v)
		}
		schema["enum"] = append(list, nil)
	}
	return schema
}
