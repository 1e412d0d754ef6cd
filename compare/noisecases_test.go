package compare

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"parallax"
)

// TestNoiseCases runs the cases of testdata/noise: exchanges of one endpoint in a row,
// judged with one noise model. The file exchanges has one a line, the JSON bodies of
// primary, candidate and secondary with bars between; 20x before them stands for
// twenty alike, and without a third body the secondary is away. The file want has what
// each came to, in the same lines.
func TestNoiseCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/noise/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runNoiseCase(t, file) })
	}
}

func runNoiseCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil || len(archive.Files) != 2 || archive.Files[0].Name != "exchanges" || archive.Files[1].Name != "want" {
		t.Fatalf("%v: a case has the files exchanges and want", err)
	}
	model, got := &NoiseModel{}, strings.Builder{}
	for line := range strings.Lines(string(archive.Files[0].Data)) {
		count, bodies, repeated := strings.Cut(strings.TrimSpace(line), "x ")
		n, err := strconv.Atoi(count)
		if !repeated || err != nil {
			n, bodies = 1, line
		}
		found := map[string]int{}
		var order []string
		for range n {
			var calls []*parallax.Call
			for body := range strings.SplitSeq(bodies, "|") {
				calls = append(calls, jsonAnswer(strings.TrimSpace(body)))
			}
			c := Compare(exchange(calls...), Input{Noise: model})
			model.Add(c.Sample)
			text := verdictOf(c)
			if found[text]++; found[text] == 1 {
				order = append(order, text)
			}
		}
		for _, text := range order {
			fmt.Fprintf(&got, "%dx %s\n", found[text], text)
		}
	}
	if *update {
		archive.Files[1].Data = []byte(got.String())
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
		t.Errorf("%s(-want +got)\n%s", archive.Comment, diff)
	}
}

// verdictOf is what an exchange came to and where it differs; figures of the past are
// left out, so that exchanges alike are counted together.
func verdictOf(c Comparison) string {
	text := c.Outcome.String()
	for _, d := range c.Differences {
		text += fmt.Sprintf("; %s %s", d.Path, d.Kind)
		switch {
		case strings.Contains(d.Suppressed.Detail, "here too"):
			text += " (noise: the secondary too)"
		case d.Suppressed.By == "noise":
			text += " (noise: from the past)"
		}
	}
	return text
}
