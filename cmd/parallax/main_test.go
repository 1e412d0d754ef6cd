package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"parallax/divergence/embedded"
	"parallax/internal/rig"
)

func TestMain(m *testing.M) {
	embedded.Child()
	testscript.Main(tests{m}, map[string]func(){"parallax": main})
}

// tests are the tests of this package, and what is to be removed after them.
type tests struct{ *testing.M }

// Run runs them.
func (t tests) Run() int {
	defer rig.Clean()
	return t.M.Run()
}

// TestScripts runs the commands of testdata/script as a user would type them.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}
