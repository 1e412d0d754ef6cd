package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// TestFilesOfOthers holds them to what scripts/vendor-ui.sh fetched, and NOTICE names them.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	notice, err := os.ReadFile("../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	f := func(dir, name, want string) {
		t.Helper()
		data, err := files.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s/%s has the sum %s, want %s; scripts/vendor-ui.sh fetches it", dir, name, got, want)
		}
		if !strings.Contains(string(notice), "ui/"+dir) {
			t.Errorf("NOTICE does not name ui/%s", dir)
		}
	}
	f("static/uplot-1.6.32", "uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f")
	f("static/uplot-1.6.32", "uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04")
	f("static/htmx-2.0.11", "htmx.min.js", "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717")
	f("static/htmx-2.0.11", "LICENSE", "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38")
	f("static/uplot-1.6.32", "LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd")
}
