package ui

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawn writes rows as a person would: both sides with a sign between them.
func drawn(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		sign := map[mark]string{same: "=", changed: "~", removed: "<", added: ">"}[r.Mark]
		if r.Skipped > 0 {
			fmt.Fprintf(&b, "... %d\n", r.Skipped)
			continue
		}
		fmt.Fprintf(&b, "%d%s %s %d%s\n", r.LeftNo, r.Left, sign, r.RightNo, r.Right)
	}
	return b.String()
}

func TestSideBySide(t *testing.T) {
	t.Parallel()
	f := func(left, right, want string) {
		t.Helper()
		if diff := cmp.Diff(want, drawn(sideBySide(left, right))); diff != "" {
			t.Errorf("%q %q (-want +got)\n%s", left, right, diff)
		}
	}
	f("", "", "")
	f("a\nb", "a\nb", "1a = 1a\n2b = 2b\n")
	f("a\nb\nc", "a\nx\nc", "1a = 1a\n2b ~ 2x\n3c = 3c\n")
	f("a\nc", "a\nb\nc", "1a = 1a\n0 > 2b\n2c = 3c\n")
	f("a\nb\nc", "c", "1a < 0\n2b < 0\n3c = 1c\n")
	f("", "a", "0 > 1a\n")
	f("a\nb\nc\nd\ne", "b\nx\nd\nf\ne", "1a < 0\n2b = 1b\n3c ~ 2x\n4d = 3d\n0 > 4f\n5e = 5e\n")
	f("a\na\na", "a\na", "1a = 1a\n2a = 2a\n3a < 0\n")
}

// TestSideBySideLosesNothing holds for any two texts: each side's lines are all
// there in their order, rows that are said to be equal are, and no others.
func TestSideBySideLosesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	text := func() string {
		lines := make([]string, random.Intn(30))
		for i := range lines {
			lines[i] = string(rune('a' + random.Intn(5)))
		}
		return strings.Join(lines, "\n")
	}
	for range 2000 {
		left, right := text(), text()
		var l, r []string
		for _, row := range sideBySide(left, right) {
			if row.LeftNo > 0 {
				l = append(l, row.Left)
			}
			if row.RightNo > 0 {
				r = append(r, row.Right)
			}
			if row.LeftNo != 0 && row.LeftNo != len(l) || row.RightNo != 0 && row.RightNo != len(r) {
				t.Fatalf("%q %q: line numbers %d, %d at lines %d, %d", left, right, row.LeftNo, row.RightNo, len(l), len(r))
			}
			if row.Mark == same && row.Left != row.Right {
				t.Fatalf("%q %q: %q = %q", left, right, row.Left, row.Right)
			}
		}
		if strings.Join(l, "\n") != left || strings.Join(r, "\n") != right {
			t.Fatalf("%q %q came out as %q %q", left, right, l, r)
		}
	}
}

func TestSideBySideIsBounded(t *testing.T) {
	t.Parallel()
	left, right := strings.Repeat("a\n", 3000)+"end", strings.Repeat("b\n", 3001)+"end"
	rows := sideBySide(left, right)
	if len(rows) != 3002 || rows[0].Mark != changed || rows[3000].Mark != added || rows[3001].Mark != same {
		t.Errorf("%d rows", len(rows))
	}
}

func TestFolded(t *testing.T) {
	t.Parallel()
	left := "1\n2\n3\n4\n5\n6\n7\n8\n9\nx\n10\n11\n12\n13"
	right := "1\n2\n3\n4\n5\n6\n7\n8\n9\ny\n10\n11\n12\n13"
	want := "... 7\n88 = 88\n99 = 99\n10x ~ 10y\n1110 = 1110\n1211 = 1211\n1312 = 1312\n1413 = 1413\n"
	if diff := cmp.Diff(want, drawn(folded(sideBySide(left, right), 2))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if rows := folded(sideBySide("a\nb\nc\nd\ne", "a\nb\nc\nd\ne"), 3); len(rows) != 1 || rows[0].Skipped != 5 {
		t.Errorf("equal texts: %s", drawn(rows))
	}
}

func TestPrettyJSON(t *testing.T) {
	t.Parallel()
	f := func(in, want string, ok bool) {
		t.Helper()
		got, is := prettyJSON([]byte(in))
		if got != want || is != ok {
			t.Errorf("%q: %v\n%s", in, is, got)
		}
	}
	f(`{"b":1.50,"a":[],"c":{}}`, "{\n  \"a\": [],\n  \"b\": 1.50,\n  \"c\": {}\n}", true)
	f(`[9007199254740993,1e400,-0,null,true,"a<b\n"]`, "[\n  9007199254740993,\n  1e400,\n  -0,\n  null,\n  true,\n  \"a<b\\n\"\n]", true)
	f(`{"a":1,"a":2}`, "{\n  \"a\": 1,\n  \"a\": 2\n}", true)
	f(`"x"`, `"x"`, true)
	for _, bad := range []string{"", "{", `{"a"}`, `{} {}`, "hello", `{"a":1,}`, strings.Repeat("[", 500) + strings.Repeat("]", 500)} {
		f(bad, "", false)
	}
}

func TestIsText(t *testing.T) {
	t.Parallel()
	f := func(in string, want bool) {
		t.Helper()
		if got := isText([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
	f("", true)
	f("<p>\r\n\tgrüße</p>", true)
	f("a\x00b", false)
	f("\x1b[31m", false)
	f("\xff\xfe", false)
	f("gr\xc3\xbc\xc3", true) // cut within a letter
	f("a\x80b", false)
}
