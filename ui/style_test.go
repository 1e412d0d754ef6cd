package ui

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// TestContrast holds every text colour to 4.5 to 1 on what it stands on, in both
// themes: level AA of WCAG 2.2, section 1.4.3, whose formula this is.
func TestContrast(t *testing.T) {
	t.Parallel()
	style, err := files.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllSubmatch(style, -1)
	if len(themes) != 2 {
		t.Fatalf("%d themes", len(themes))
	}
	for i, theme := range themes {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([\w-]+): #([0-9a-f]{6});`).FindAllSubmatch(theme[1], -1) {
			colours[string(m[1])] = string(m[2])
		}
		f := func(text string, grounds ...string) {
			t.Helper()
			for _, ground := range grounds {
				if colours[text] == "" || colours[ground] == "" {
					t.Errorf("theme %d lacks %s or %s", i, text, ground)
				} else if c := contrast(t, colours[text], colours[ground]); c < 4.5 {
					t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, text, ground, c)
				}
			}
		}
		f("text", "page", "surface", "sunken", "added", "added-strong", "removed", "removed-strong")
		f("muted", "page", "surface", "sunken", "added", "removed")
		f("accent", "page", "surface", "sunken")
		f("good", "good-tint", "surface")
		f("wait", "wait-tint", "surface")
		f("bad", "bad-tint", "surface")
		f("quiet", "quiet-tint")
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}
