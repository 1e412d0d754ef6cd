package main

import (
	"bytes"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFlagFaults: a command line that is not understood is told what is wrong, and what
// would be right, in one sentence.
func TestFlagFaults(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), args, func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
		if said, _, _ := strings.Cut(stderr.String(), "\n"); code != exitError || said != "parallax: "+want || stdout.Len() > 0 {
			t.Errorf("exit code %d and %q, want %d and %q", code, said, exitError, want)
		}
	}
	f(`verdict has no flag --wiat; did you mean "--wait"?`, "verdict", "--wiat", "3s")
	f(`verdict: cannot read "3" as --wait; write it like 500ms, 30s or 24h`, "verdict", "--wait", "3")
	f(`verdict: --wait needs a value`, "verdict", "--wait")
	f(`verdict takes no argument "shop"`, "verdict", "shop", "--wait", "3s")
	f(`demo: cannot read "x" as --rate; write a number`, "demo", "--rate", "x")
	f(`demo: cannot read "x" as --json; write it alone, or with =false`, "demo", "--json=x")
	f(`replay: cannot read "all" as --limit; write a whole number`, "replay", "--limit", "all")
	f(`replay needs -c FILE, the configuration`, "replay")
	f(`replay needs --service, and --from with a recording or the word store`, "replay", "-c", "shop.yaml")
	f(`replay takes no argument "shop.har"`, "replay", "-c", "shop.yaml", "shop.har")
	f(`check --schema is about no file`, "check", "--schema", "-c", "shop.yaml")
	f(`healthy takes one address, such as http://127.0.0.1:7070/readyz, and a --wait above 0`, "healthy")
	f(`cannot read the address "127.0.0.1:7070"; write it like http://127.0.0.1:7070/readyz`, "healthy", "127.0.0.1:7070")
	f(`audit cannot "verfy"; did you mean "verify"?`, "audit", "verfy")
}

// TestFlagsBehindWords: flags are read wherever they stand, up to a --; those of a command
// that is to be run are its own.
func TestFlagsBehindWords(t *testing.T) {
	t.Parallel()
	f := func(read func(*flag.FlagSet, []string) (bool, int), line string, wait time.Duration, words ...string) {
		t.Helper()
		var said bytes.Buffer
		set := env{stdout: &said, stderr: &said}.flags("x", "x")
		got := set.Duration("wait", 0, "")
		if ok, _ := read(set, strings.Fields(line)); !ok || *got != wait || !slices.Equal(set.Args(), words) {
			t.Errorf("%q: %v and %q, want %v and %q; %s", line, *got, set.Args(), wait, words, &said)
		}
	}
	f(parse, "a --wait 3s b", 3*time.Second, "a", "b")
	f(parse, "--wait 3s - b", 3*time.Second, "-", "b")
	f(parse, "a --wait 3s -- b --wait 5s", 3*time.Second, "a", "b", "--wait", "5s")
	f(parse, "-- --wait", 0, "--wait")
	f(parse, "", 0)
	f(parseCommand, "--wait 3s pg_dump --wait 5s", 3*time.Second, "pg_dump", "--wait", "5s")
}
