package compare

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/tools/txtar"

	"parallax"
	"parallax/internal/ids"
	"parallax/internal/yamlstrict"
)

var update = flag.Bool("update", false, "write what cases come to into their files")

// TestCases runs the cases of testdata. A case has an answer for each leg, as a
// body (primary.json) or as a whole (primary.http), perhaps rules.yaml and
// endpoint and schema.proto, and what must be found in want.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("found %d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runCase(t, file) })
	}
}

// readRules reads rules as a configuration has them.
func readRules(t *testing.T, text string) []Rule {
	t.Helper()
	var rules []Rule
	_, faults := yamlstrict.Decode("rules.yaml", []byte(text), &rules)
	for _, f := range faults {
		t.Error(f)
	}
	return rules
}

func runCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x := &parallax.Exchange{Endpoint: "GET /orders/{id}", Received: testTime}
	var rules []Rule
	var want *txtar.File
	var declared, pairs, request string
	var messages protoCase
	for i, f := range archive.Files {
		leg, ending, _ := strings.Cut(f.Name, ".")
		call := func() *parallax.Call {
			if ending == "pb" || strings.HasPrefix(ending, "grpc") {
				return messages.call(t, ending, string(f.Data))
			}
			return callOf(t, ending, f.Data)
		}
		switch leg {
		case "schema":
			messages = compileProto(t, string(f.Data), x.Endpoint)
		case "rules":
			rules = readRules(t, string(f.Data))
		case "endpoint":
			x.Endpoint = strings.TrimSpace(string(f.Data))
		case "identifiers":
			declared = string(f.Data)
		case "pairs":
			pairs = string(f.Data)
		case "request":
			request = strings.TrimSpace(string(f.Data))
		case "want":
			want = &archive.Files[i]
		case "primary":
			x.Legs[parallax.Primary] = call()
		case "candidate":
			x.Legs[parallax.Candidate] = call()
		case "secondary":
			x.Legs[parallax.Secondary] = call()
		default:
			t.Fatalf("a case has no file %q", f.Name)
		}
	}
	compiled, faults := Compile(rules)
	for _, f := range faults {
		t.Error(f)
	}
	got := found(Compare(x, Input{Rules: compiled.WithMessages(messages.known), IDs: identifiersOf(t, declared, pairs, request, x)}))
	if want == nil {
		archive.Files = append(archive.Files, txtar.File{Name: "want"})
		want = &archive.Files[len(archive.Files)-1]
	}
	if *update {
		want.Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(want.Data), got); diff != "" {
		t.Errorf("%s(-want +got)\n%s", archive.Comment, diff)
	}
}

// identifiersOf reads what identifiers are declared, which pairs are known, one a
// line as name, primary's and candidate's value, and the request that was made.
func identifiersOf(t *testing.T, declared, pairs, request string, x *parallax.Exchange) *Identifiers {
	t.Helper()
	if declared == "" {
		return nil
	}
	var configs []ids.Config
	if _, faults := yamlstrict.Decode("identifiers.yaml", []byte(declared), &configs); len(faults) > 0 {
		t.Fatal(faults)
	}
	set, faults := ids.Compile(configs)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var known []ids.Known
	for line := range strings.Lines(pairs) {
		word := strings.Fields(line)
		name, p, c := word[0], strings.ReplaceAll(word[1], `\n`, "\n"), strings.ReplaceAll(word[2], `\n`, "\n")
		known = append(known,
			ids.Known{Name: name, Leg: parallax.Primary, Value: p, To: parallax.Candidate, State: ids.Paired, Partner: c},
			ids.Known{Name: name, Leg: parallax.Candidate, Value: c, To: parallax.Primary, State: ids.Paired, Partner: p})
	}
	method, target, _ := strings.Cut(request, " ")
	for _, call := range x.Legs {
		if call != nil {
			call.Request.Method, call.Request.Target = method, target
		}
	}
	origins := [parallax.Legs][]string{{"http://old:9001"}, {"http://new:9002"}, {"http://old:9003"}}
	return &Identifiers{Set: set, View: ids.NewView(known), Origins: origins}
}

// found is what a case compares: the differences, and the reason if there is one.
func found(c Comparison) string {
	var b strings.Builder
	for _, d := range c.Differences {
		fmt.Fprintln(&b, d)
	}
	if c.Outcome == NotComparable {
		fmt.Fprintln(&b, "not comparable:", c.Reason)
	}
	return b.String()
}

// callOf makes a leg's call: a body whose type the ending tells, a whole answer,
// or (err) the kind of a failure.
func callOf(t *testing.T, ending string, data []byte) *parallax.Call {
	switch ending {
	case "json":
		return answer(200, string(bytes.TrimSuffix(data, []byte("\n"))), "Content-Type", "application/json")
	case "txt":
		return answer(200, string(data), "Content-Type", "text/plain")
	case "xml":
		return answer(200, string(data), "Content-Type", "application/xml")
	case "ndjson":
		return answer(200, string(data), "Content-Type", "application/x-ndjson")
	case "events":
		return answer(200, string(data), "Content-Type", "text/event-stream")
	case "form":
		return answer(200, string(bytes.TrimSuffix(data, []byte("\n"))), "Content-Type", "application/x-www-form-urlencoded")
	case "err":
		return failure(t, strings.TrimSpace(string(data)))
	case "http":
		return wholeAnswer(t, string(data))
	}
	t.Fatalf("an answer has no ending %q", ending)
	return nil
}

func failure(t *testing.T, kind string) *parallax.Call {
	for k := parallax.Refused; k <= parallax.NotAsked; k++ {
		if k.String() == kind {
			return &parallax.Call{Err: parallax.CallErr{Kind: k}}
		}
	}
	t.Fatalf("there is no failure %q", kind)
	return nil
}

// wholeAnswer reads an answer with its head. The body is written as people read
// it, and gets the charset and the coding that the head tells.
func wholeAnswer(t *testing.T, text string) *parallax.Call {
	t.Helper()
	top, content, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(top, "\n")
	status, err := strconv.Atoi(strings.Fields(lines[0])[0])
	if err != nil || http.StatusText(status) == "" {
		t.Fatalf("an answer begins with its status, not %q", lines[0])
	}
	var fields []string
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		if name != "" {
			fields = append(fields, name, strings.TrimSpace(value))
		}
	}
	head := answer(status, "", fields...)
	return answer(status, string(coded(t, &head.Response, strings.TrimSuffix(content, "\n"))), fields...)
}

// coded writes a text in the charset and with the coding of an answer. The coding
// is left out of a body that begins with "not gzip".
func coded(t *testing.T, r *parallax.Response, text string) []byte {
	t.Helper()
	out := []byte(text)
	if _, params, err := mime.ParseMediaType(header(r.Headers, "content-type")); err == nil && params["charset"] != "" {
		if e, err := htmlindex.Get(params["charset"]); err == nil {
			if out, err = e.NewEncoder().Bytes(out); err != nil {
				t.Fatal(err)
			}
		}
	}
	if header(r.Headers, "content-encoding") == "gzip" && !bytes.HasPrefix(out, []byte("not gzip")) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(out)
		w.Close()
		out = b.Bytes()
	}
	return out
}
