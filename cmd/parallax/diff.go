package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"parallax"
	"parallax/compare"
	"parallax/internal/body"
	"parallax/internal/yamlstrict"
)

const diffUsage = "diff [--rules FILE] [--endpoint E] [--type TYPE] [--descriptors FILE --message NAME] PRIMARY CANDIDATE"

// maxDiffBytes bounds each file that diff reads, coded and decoded.
const maxDiffBytes = 256 << 20

// runDiff compares two bodies as Parallax does. It prints the differences and
// returns 0 when none counts, 1 when one does, and 2 when it cannot tell.
func runDiff(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "parallax: %v\n", err)
		return exitError
	}
	set := env{stdout: stdout, stderr: stderr}.flags("diff", diffUsage)
	rulesFile := set.String("rules", "", "YAML `file` with a list of rules, or with rules: and the list")
	endpoint := set.String("endpoint", "", "which endpoint's rules apply, besides those for all; for example \"GET /orders/{id}\"")
	kind := set.String("type", "", formatList()+" or a media type; else the files' names say it, else JSON if both are")
	descriptors := set.String("descriptors", "", "`file` with a FileDescriptorSet, for --type protobuf and grpc")
	message := set.String("message", "", "full name of the message that both bodies are; for grpc, --endpoint \"POST /shop.v1.Orders/Get\" says it too")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() != 2 {
		return fail(fmt.Errorf("diff takes two files, the primary's body and the candidate's; %d given", set.NArg()))
	}
	rules, faults, err := readRules(*rulesFile)
	if err != nil {
		return fail(err)
	}
	if rules, err = withMessages(rules, *descriptors, *endpoint, *message); err != nil {
		return fail(err)
	}
	if len(faults) > 0 {
		for _, f := range faults {
			fmt.Fprintln(stderr, f.Error())
		}
		return exitError
	}
	names := [2]string{set.Arg(0), set.Arg(1)}
	bodies, err := readBodies(names, stdin)
	if err != nil {
		return fail(err)
	}
	format, err := diffFormat(*kind, names, bodies)
	if err != nil {
		return fail(err)
	}
	result := compare.Bodies(format, bodies[0], bodies[1], *endpoint, rules, time.Now())
	if _, err := io.WriteString(stdout, compare.Explain(result)); err != nil {
		return fail(fmt.Errorf("cannot print the differences: %w", err))
	}
	if result.Outcome == compare.Match {
		return exitGood
	}
	return exitNot
}

// withMessages lets rules know the message that both bodies are.
func withMessages(rules *compare.Rules, descriptors, endpoint, message string) (*compare.Rules, error) {
	config := compare.ProtobufConfig{Descriptors: descriptors}
	if message != "" {
		config.Messages = map[string]string{endpoint: message}
	}
	known, faults := readMessages(config)
	switch {
	case len(faults) > 0 && faults[0].Path == "messages":
		return nil, fmt.Errorf("--descriptors do not have the message %q", message)
	case len(faults) > 0:
		return nil, fmt.Errorf("--descriptors: %s", faults[0].Text)
	}
	return rules.WithMessages(known), nil
}

// readBodies reads both files and takes off the coding that the ending of a name
// tells. At most one of them is standard input, written as -.
func readBodies(names [2]string, stdin io.Reader) (bodies [2][]byte, err error) {
	if names[0] == "-" && names[1] == "-" {
		return bodies, errors.New("only one of the two can be standard input")
	}
	for i, name := range names {
		if bodies[i], err = readBody(name, stdin); err != nil {
			return bodies, err
		}
	}
	return bodies, nil
}

var codingOf = map[string]string{".gz": "gzip", ".br": "br", ".zst": "zstd", ".zz": "deflate"}

func readBody(name string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read body: %w", err)
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxDiffBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read body %q: %w", name, err)
	}
	if len(text) > maxDiffBytes {
		return nil, fmt.Errorf("cannot read body %q: it is larger than %v", name, parallax.Size(maxDiffBytes))
	}
	coding := codingOf[strings.ToLower(filepath.Ext(name))]
	if text, err = body.Decode(coding, text, maxDiffBytes); err != nil {
		return nil, fmt.Errorf("cannot read body %q: %w", name, err)
	}
	return text, nil
}

// diffFormat chooses how both bodies are read: by the flag, else by the files'
// names, else JSON if both are, else text if both are UTF-8.
func diffFormat(kind string, names [2]string, bodies [2][]byte) (compare.Format, error) {
	switch format := compare.Format(kind); {
	case kind == "":
	case slices.Contains(compare.Formats, format):
		return format, nil
	case strings.Contains(kind, "/"):
		return compare.FormatOf(kind), nil
	default:
		return "", fmt.Errorf("there is no type %q; there are %s and media types such as application/json", kind, formatList())
	}
	primary, candidate := formatByName(names[0]), formatByName(names[1])
	switch {
	case primary == "":
		primary = candidate
	case candidate != "" && candidate != primary:
		return "", fmt.Errorf("%q is %s and %q is %s by their names; say with --type how to read both", names[0], primary, names[1], candidate)
	}
	if primary != "" {
		return primary, nil
	}
	return formatByContent(bodies), nil
}

// formatList lists the formats for people.
func formatList() string {
	names := make([]string, len(compare.Formats))
	for i, f := range compare.Formats {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

func formatByName(name string) compare.Format {
	name = strings.ToLower(name)
	if ending := filepath.Ext(name); codingOf[ending] != "" {
		name = strings.TrimSuffix(name, ending)
	}
	switch filepath.Ext(name) {
	case ".json":
		return compare.JSON
	case ".pb", ".binpb":
		return compare.Protobuf
	case ".ndjson", ".jsonl":
		return compare.NDJSON
	case ".xml", ".svg", ".xhtml", ".rss", ".atom":
		return compare.XML
	case ".txt", ".text", ".html", ".htm", ".csv", ".tsv", ".md", ".yaml", ".yml", ".log", ".css", ".js":
		return compare.Text
	case ".bin", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf", ".zip":
		return compare.Bytes
	}
	return ""
}

func formatByContent(bodies [2][]byte) compare.Format {
	format := compare.JSON
	for _, b := range bodies {
		if _, err := body.ParseJSON(b, body.DefaultLimits); err == nil {
			continue
		}
		if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
			return compare.Bytes
		}
		format = compare.Text
	}
	return format
}

// readRules reads a file with rules. No name is no rules.
func readRules(name string) (*compare.Rules, []yamlstrict.Fault, error) {
	if name == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read rules: %w", err)
	}
	list, faults := compare.ReadRules(name, text)
	rules, _ := compare.Compile(list)
	return rules, faults, nil
}
