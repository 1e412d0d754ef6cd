package compare

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

const cookbookPage = "../docs/cookbook.md"

// TestCookbook runs the recipes of docs/cookbook.md. Each is a case like those of
// [TestCases]; the page is made from them, so that what it says is what happens.
func TestCookbook(t *testing.T) {
	files, err := filepath.Glob("testdata/cookbook/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d recipes: %v", len(files), err)
	}
	page := cookbookHead
	for i, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			runCase(t, file)
			holdRecipe(t, readRecipe(t, file))
		})
		page += recipePage(i+1, readRecipe(t, file))
	}
	if *update {
		if err := os.WriteFile(cookbookPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(cookbookPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), page); diff != "" {
		t.Errorf("docs/cookbook.md is not what the recipes say; run go test ./compare -run TestCookbook -update (-page +recipes)\n%s", diff)
	}
}

func readRecipe(t *testing.T, file string) *txtar.Archive {
	t.Helper()
	recipe, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return recipe
}

// holdRecipe: a recipe still finds something, and is written as its owners should.
func holdRecipe(t *testing.T, recipe *txtar.Archive) {
	t.Helper()
	finds := false
	for line := range strings.Lines(string(fileOf(recipe, "want"))) {
		finds = finds || !strings.Contains(line, "[rule: ")
	}
	if !finds {
		t.Error("it finds nothing: a reader cannot see what it does not excuse")
	}
	for _, f := range Lint(readRules(t, string(fileOf(recipe, "rules.yaml"))), testTime) {
		t.Errorf("%s: %s: %s", f.Path, f.Check, f.Text)
	}
}

func fileOf(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

const cookbookHead = "# Rules: a cookbook\n\n" +
	"*Made from the cases in [compare/testdata/cookbook](../compare/testdata/cookbook), which a test runs: `go test ./compare -run TestCookbook -update`\n" +
	"writes it. Do not edit it by hand.*\n\n" +
	"Twenty differences that are meant, and how to say so without hiding those that are not. Each recipe has what both versions answered and what\n" +
	"Parallax makes of it: a line with `[rule: ...]` does not count and stays visible, a line without one is a divergence. Every recipe leaves one, to\n" +
	"show where it ends.\n\n" +
	"Try yours before it is in force: `parallax diff --rules FILE old.json new.json` on two bodies, `parallax rules dry-run` on what is stored, `parallax rules\n" +
	"lint` for what is doubtful about it ([rules.md](rules.md)). All kinds and their keys: [config.md](config.md#services-rules).\n"

func recipePage(n int, recipe *txtar.Archive) string {
	var b strings.Builder
	title, text, _ := strings.Cut(string(recipe.Comment), "\n")
	fmt.Fprintf(&b, "\n## %d. %s\n%s\n", n, title, text)
	for _, f := range recipe.Files {
		if block := strings.TrimSuffix(f.Name, ".yaml"); block != f.Name {
			fmt.Fprintf(&b, "```yaml\n%s:\n%s```\n\n", block, f.Data)
		}
	}
	b.WriteString("```\n")
	for _, f := range recipe.Files {
		switch leg, ending, _ := strings.Cut(f.Name, "."); {
		case ending == "json":
			fmt.Fprintf(&b, "%-9s  %s", leg, f.Data)
		case ending == "http":
			fmt.Fprintf(&b, "%-9s  %s\n", leg, hanging(f.Data))
		case f.Name == "endpoint" || f.Name == "request":
			fmt.Fprintf(&b, "%-9s  %s", f.Name, f.Data)
		case f.Name == "pairs":
			fmt.Fprintf(&b, "%-9s  %s\n", "known", hanging(f.Data))
		}
	}
	fmt.Fprintf(&b, "\n%s```\n", fileOf(recipe, "want"))
	return b.String()
}

// hanging sets lines under the first one, which has a word of nine before it.
func hanging(text []byte) string {
	lines := strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n           ")
	return strings.ReplaceAll(lines, "\n           \n", "\n\n")
}
