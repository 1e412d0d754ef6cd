package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"

	"parallax/internal/yamlstrict"
)

// Exit codes that every verb shares. The verdict verb adds its own.
const (
	exitGood  = 0
	exitNot   = 1 // the answer is no: differs, faults found
	exitError = 2 // the question could not be answered
)

// env is what a verb has of the outside world.
type env struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// fail prints one sentence for a person and returns the exit code for errors.
func (e env) fail(format string, args ...any) int {
	fmt.Fprintf(e.stderr, "parallax: "+format+"\n", args...)
	return exitError
}

type verb struct {
	name, usage, does string
	run               func(ctx context.Context, e env, args []string) int
}

func verbs() []verb {
	return []verb{
		{"serve", serveUsage, "stand in front of the services of FILE", runServe},
		{"check", checkUsage, "say everything that is wrong with FILE, then what it comes to", runCheck},
		{"diff", diffUsage, "compare two bodies as Parallax does",
			func(_ context.Context, e env, args []string) int { return runDiff(args, e.stdin, e.stdout, e.stderr) }},
		{"effects", effectsUsage, "what the legs' databases need, and whether they hold the same", runEffects},
		{"rules", rulesUsage, "look through rules, and try them on what is stored", runRules},
		{"verdict", verdictUsageLine, "ask a running Parallax, for CI",
			runVerdict},
		{"report", reportUsage, "what is known of a service, for people: also as one HTML file", runReport},
		{"notify", notifyUsage, "send the receivers of notifications a test", runNotify},
		{"token", tokenUsage, "make a token for the admin listener", runToken},
		{"audit", auditUsage, "whether the chain of decisions is whole", runAudit},
		{"store", storeUsage, "make the store's figures whole after processes were killed", runStore},
		{"finish", finishUsage, "report on a run that ends, and say how Parallax is taken out", runFinish},
		{"replay", replayUsage, "ask recorded requests of both versions again, and report", runReplay},
		{"demo", "demo [--for 90s --exit] [--json]", "compare two releases of a real service, here and now", runDemo},
		{"healthy", healthyUsage, "ask whether an address is well, for health checks of containers", runHealthy},
		{"version", "version", "print the version", runVersion},
	}
}

// run is the whole program: tests call it as main does. It returns the exit
// code.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := env{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	all := verbs()
	switch args = spelled(args); {
	case len(args) == 0:
		usage(stdout, all)
		return exitError
	case args[0] == "--help":
		usage(stdout, all)
		return exitGood
	}
	i := slices.IndexFunc(all, func(v verb) bool { return v.name == args[0] })
	if i < 0 {
		names := make([]string, len(all))
		for i, v := range all {
			names[i] = v.name
		}
		return e.fail("there is no verb %q; %s", args[0], yamlstrict.Suggest(args[0], names))
	}
	return all[i].run(ctx, e, args[1:])
}

// spelled is a command line in the one way that the rest knows: help VERB is VERB --help.
func spelled(args []string) []string {
	switch {
	case len(args) == 0:
	case args[0] == "help" && len(args) > 1:
		return append(args[1:len(args):len(args)], "--help")
	case args[0] == "help" || args[0] == "-h":
		return []string{"--help"}
	case args[0] == "--version":
		return []string{"version"}
	}
	return args
}

func usage(w io.Writer, all []verb) {
	fmt.Fprint(w, "parallax validates a rewrite before cutover.\n\n")
	for _, v := range all {
		fmt.Fprintf(w, "  parallax %s\n      %s\n", alternatives(v.usage, "\n  "), v.does)
	}
	fmt.Fprint(w, "\nparallax VERB --help says what its flags are.\n")
}

func runVersion(_ context.Context, e env, args []string) int {
	set := e.flags("version", "version")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() > 0 {
		return e.fail("version takes no argument %q", set.Arg(0))
	}
	fmt.Fprintln(e.stdout, "parallax", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return exitGood
}

// version is the module's version, or the commit that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
