package ui

import (
	"slices"
	"testing"
)

// TestUnified: of a run of changes what went stands before what came, and equal lines
// stand once.
func TestUnified(t *testing.T) {
	t.Parallel()
	var rows []viewRow
	for _, r := range sideBySide("a\nb\nc\nd\n", "a\nx\ny\nd\ne\n") {
		rows = append(rows, newViewRow(r))
	}
	var got []string
	for _, l := range unified(rows) {
		got = append(got, l.Sign+l.Before+l.Changed+l.After)
	}
	if want := []string{" a", "−b", "−c", "+x", "+y", " d", "+e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestExchangeInOneColumn: by the URL, and everything else on the page stays.
func TestExchangeInOneColumn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := exchangePath("shop", firstID)
	says(t, target, parsePage(t, r, target, 200), "side by side", "in one column")
	target += "?layout=unified"
	says(t, target, parsePage(t, r, target, 200), "Primary − and candidate +", `8 − "id": 17 , 8 + "id": "17" ,`, "Headers of the answers")
	parsePage(t, r, exchangePath("shop", firstID)+"?layout=diagonal", 400)
}
