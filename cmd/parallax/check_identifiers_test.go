package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckWarnsOfAClassAtAnIdentifier: check knows both rules and identifiers.
func TestCheckWarnsOfAClassAtAnIdentifier(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "parallax.yaml")
	text := `
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: ["http://127.0.0.1:1"] }
  candidate: { urls: ["http://127.0.0.1:2"] }
  identifiers: [{ name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}"] }]
  rules: [{ path: $.id, class: uuid }]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, wrong bytes.Buffer
	code := run(t.Context(), []string{"check", "-c", file}, os.Getenv, strings.NewReader(""), &out, &wrong)
	if want := "# services[0].rules[0].path: reference: values of the identifier order stand there"; code != exitGood || !strings.Contains(out.String(), want) {
		t.Errorf("check exits with %d; want it to say %q\n%s%s", code, want, out.String(), wrong.String())
	}
}
