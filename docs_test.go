package parallax

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	pageLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// pages are the documents that people read, by their path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d pages: %v", len(files), err)
	}
	adrs, err := filepath.Glob("docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range append(append(files, adrs...), "README.md", "ARCHITECTURE.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[file] = string(text)
	}
	return out
}

// anchors are what a link to a heading of a page may name.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		out[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return out
}

// TestLinksOfPages follows every link from one document to another, and to its
// heading.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page, text := range all {
		for _, link := range pageLink.FindAllStringSubmatch(text, -1) {
			to, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			file := page
			if to != "" {
				file = filepath.Join(filepath.Dir(page), to)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if other, ok := all[file]; ok && anchor != "" && !anchors(other)[anchor] {
				t.Errorf("%s: %s has no heading %q", page, file, anchor)
			}
		}
	}
}

// TestEveryPageIsInTheIndex: a page that the index does not name is one that nobody
// finds.
func TestEveryPageIsInTheIndex(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page := range all {
		name, below := strings.CutPrefix(page, "docs/")
		if below && !strings.Contains(name, "/") && name != "README.md" && name != "plan.md" && !strings.Contains(all["docs/README.md"], "]("+name+")") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

// TestConceptsHaveTheGlossary: the page that explains the words has all of them.
func TestConceptsHaveTheGlossary(t *testing.T) {
	t.Parallel()
	all := pages(t)
	_, glossary, found := strings.Cut(all["ARCHITECTURE.md"], "## Glossary")
	if !found {
		t.Fatal("ARCHITECTURE.md has no glossary")
	}
	rows := regexp.MustCompile(`(?m)^\| ([a-z][^|]*) \|`).FindAllStringSubmatch(glossary, -1)
	if len(rows) < 15 {
		t.Fatalf("the glossary has %d rows", len(rows))
	}
	for _, row := range rows {
		for _, word := range regexp.MustCompile(`[/,]`).Split(row[1], -1) {
			if word = strings.TrimSpace(word); word != "word" && !regexp.MustCompile(`(?i)\*\*`+word+`(s|ed)?\*\*`).MatchString(all["docs/concepts.md"]) {
				t.Errorf("docs/concepts.md does not explain %q", word)
			}
		}
	}
}
