package compare

import (
	"os"
	"path/filepath"
	"testing"
)

// sameTransforms are the only pairs of test_transform of JSONTestSuite that are
// equal: the same members in another order, and halves of surrogate pairs as
// escapes and as the bytes that UTF-8 would have for them. Everything else that
// other readers take for the same differs: numbers beyond the precision of a float,
// names that only look alike, the first of two members of one name.
var sameTransforms = map[[2]string]bool{
	{"object_key_nfc_nfd.json", "object_key_nfd_nfc.json"}:                           true,
	{"string_1_escaped_invalid_codepoint.json", "string_1_invalid_codepoint.json"}:   true,
	{"string_2_escaped_invalid_codepoints.json", "string_2_invalid_codepoints.json"}: true,
	{"string_3_escaped_invalid_codepoints.json", "string_3_invalid_codepoints.json"}: true,
}

func TestTransformsAreComparedAsWritten(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../internal/body/testdata/json-test-suite/test_transform/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for i, a := range files {
		for _, b := range files[i:] {
			names := [2]string{filepath.Base(a), filepath.Base(b)}
			want := a == b || sameTransforms[names]
			got := diffJSON(read(a), " "+read(b), nil)
			if same := got.Outcome == Match; same != want {
				t.Errorf("%v: a match is %t, want %t: %v", names, same, want, got.Differences)
			}
			for _, d := range got.Differences {
				if d.Kind == Undecoded {
					t.Errorf("%v: %v", names, d)
				}
			}
		}
	}
}
