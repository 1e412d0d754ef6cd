package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"parallax/divergence/embedded"
)

func TestMain(m *testing.M) {
	embedded.Child()
	testscript.Main(m, map[string]func(){"parallax": main})
}

// TestScripts runs the commands of testdata/script as a user would type them.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}
