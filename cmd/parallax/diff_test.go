package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// diffed runs the verb on files that it writes first, named by their contents'
// position. It returns what was printed and the exit code.
func diffed(t *testing.T, files map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, arg := range args {
		if _, ok := files[arg]; ok {
			args[i] = filepath.Join(dir, arg)
		}
	}
	var out, errs bytes.Buffer
	code = runDiff(args, strings.NewReader(files["-"]), &out, &errs)
	return out.String(), strings.ReplaceAll(errs.String(), dir+string(filepath.Separator), ""), code
}

func TestDiff(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(`{"id":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"one.json": `{"id":9007199254740993,"n":1.0}`, "same.json": `{"n":1,"id":9007199254740993}`, "two.json": `{"id":9007199254740992,"n":1}`,
		"broken.json": `{"id":`, "one": `{"id":1}`, "spaced": `{ "id": 1 }`, "a": "x\ny\n", "b": "x\nz\n", "page.html": "<p>",
		"id.json.gz": zipped.String(), "a.bin": "\x00\x01", "b.bin": "\x00\x02", "-": `{"id":1.0}`,
		"list.yaml": `- {path: "$.id", ignore: true}`, "map.yaml": "rules:\n- {path: \"$.id\", ignore: true, endpoint: \"GET /a\"}\n",
	}
	f := func(want string, code int, args ...string) {
		t.Helper()
		got, errs, exit := diffed(t, files, args...)
		if diff := cmp.Diff(want, got); diff != "" || exit != code {
			t.Errorf("exit %d, want %d, %s\n%s", exit, code, errs, diff)
		}
	}
	f("no difference\n", exitGood, "one.json", "one.json")
	f("no difference\n", exitGood, "one.json", "same.json")
	f("$.id  changed  9007199254740993 -> 9007199254740992\n1 difference\n", exitNot, "one.json", "two.json")
	f("no difference\n", exitGood, "one", "spaced")
	f("text line 1  changed  {\"id\":1} -> { \"id\": 1 }\n1 difference\n", exitNot, "--type", "text", "one", "spaced")
	f("text line 2  changed  y -> z\n1 difference\n", exitNot, "a", "b")
	f("body  undecoded  decoded -> not JSON: line 1, column 7: the document ends where a value should be\n1 difference\n", exitNot, "one.json", "broken.json")
	f("no difference\n", exitGood, "one", "id.json.gz")
	f("no difference\n", exitGood, "-", "one")
	f("no difference\n", exitGood, "--type", "application/problem+json", "one", "spaced")
	f("$.id  changed  9007199254740993 -> 9007199254740992  [rule: rules[0] $.id]\nno difference (1 taken away by rules)\n",
		exitGood, "--rules", "list.yaml", "one.json", "two.json")
	f("$.id  changed  9007199254740993 -> 9007199254740992\n1 difference\n", exitNot, "--rules", "map.yaml", "one.json", "two.json")
	f("$.id  changed  9007199254740993 -> 9007199254740992  [rule: rules[0] GET /a $.id]\nno difference (1 taken away by rules)\n",
		exitGood, "--rules", "map.yaml", "--endpoint", "GET /a", "one.json", "two.json")
	f("body  changed  2 bytes, SHA-256 b413f47d13ee2fe6… -> 2 bytes, SHA-256 fcf0a6c700dd13e2…\n1 difference\n", exitNot, "a.bin", "b.bin")
}

func TestDiffErrors(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"a.json": "1", "b.txt": "1", "bad.gz": "x",
		"rules.yaml": "- path: $.a\n  ignore: true\n- path: $.b[?@.c]\n  ignore: true\n- path: $.c\n  tolerence: 1\n",
		"wrong.yaml": "rules:\n- path: $.a\n  regex: (x\n", "fault.yaml": "- {path: $.ok, ignore: true}\n- path: $.b[?size(@.c) > 1]\n  ignore: true\n",
		"yaml.yaml": "- path: [",
	}
	f := func(want string, args ...string) {
		t.Helper()
		out, errs, code := diffed(t, files, args...)
		if code != exitError || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, %q, %q; want %q", args, code, out, errs, want)
		}
	}
	f("diff takes two files", "a.json")
	f("cannot read body: open nowhere", "nowhere", "a.json")
	f("only one of the two can be standard input", "-", "-")
	f(`by their names; say with --type how to read both`, "a.json", "b.txt")
	f(`there is no type "toml"; there are json, ndjson, events, form, multipart, xml, graphql, protobuf, grpc, text, bytes and media types`, "--type", "toml", "a.json", "b.txt")
	f(`cannot decode gzip`, "bad.gz", "a.json")
	f("cannot read rules: open nowhere", "--rules", "nowhere", "a.json", "a.json")
	f(`rules.yaml:6: [2].tolerence: unknown key; did you mean "tolerance"?`, "--rules", "rules.yaml", "a.json", "a.json")
	f("wrong.yaml:3: rules[0].regex: missing closing ): `(x`", "--rules", "wrong.yaml", "a.json", "a.json")
	f("fault.yaml:2: [1].path: column 6: functions such as size() are not supported", "--rules", "fault.yaml", "a.json", "a.json")
	f("yaml.yaml:", "--rules", "yaml.yaml", "a.json", "a.json")
	f("diff has no flag --nope; did you mean", "--nope", "a.json", "a.json")
}
