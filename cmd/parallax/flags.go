package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"parallax/internal/yamlstrict"
)

// flags returns a flag set whose faults parse says on stderr. The help that somebody asks
// for goes to stdout.
func (e env) flags(name, usage string) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(e.stderr)
	set.Usage = func() {
		fmt.Fprintf(e.stdout, "usage: parallax %s\n", alternatives(usage, "\n       "))
		set.VisitAll(func(f *flag.Flag) { describe(e.stdout, f) })
	}
	return set
}

// misuse says what is wrong with a command line, then what it should look like.
func (e env) misuse(usage, format string, args ...any) int {
	return e.fail("%s\nusage: parallax %s", fmt.Sprintf(format, args...), alternatives(usage, "\n       "))
}

// needsConfig says what is wrong with the command line of a verb that takes -c FILE and
// no other word, empty for nothing.
func needsConfig(set *flag.FlagSet, file string) string {
	switch {
	case file == "" && set.NArg() == 1:
		return fmt.Sprintf("%s takes its configuration with -c: parallax %s -c %s", set.Name(), set.Name(), set.Arg(0))
	case file == "":
		return set.Name() + " needs -c FILE, the configuration"
	case set.NArg() > 0:
		return fmt.Sprintf("%s takes no argument %q", set.Name(), set.Arg(0))
	}
	return ""
}

// alternatives puts each command of a usage on a line of its own.
func alternatives(usage, newline string) string {
	verb, _, _ := strings.Cut(usage, " ")
	return strings.ReplaceAll(usage, " | "+verb+" ", newline+"parallax "+verb+" ")
}

// describe prints what a flag is for.
func describe(w io.Writer, f *flag.Flag) {
	value, text := flag.UnquoteUsage(f)
	line := "  " + dashed(f.Name)
	if value != "" {
		line += " " + valueName(value)
	}
	switch f.DefValue {
	case "", "0", "0s", "false":
	default:
		text += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(w, "%s\n      %s\n", line, text)
}

// valueName is what stands for a flag's value in its help.
func valueName(value string) string {
	switch value {
	case "string":
		return "TEXT"
	case "int", "float":
		return "N"
	}
	return strings.ToUpper(value)
}

// dashed is a flag as people write it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// parse reads flags, which may stand behind other words too. It returns false and the exit
// code when the verb must end.
func parse(set *flag.FlagSet, args []string) (ok bool, code int) {
	return parseBy(set, args, gather)
}

// parseCommand is parse where the first other word begins a command, whose flags are its own.
func parseCommand(set *flag.FlagSet, args []string) (ok bool, code int) {
	return parseBy(set, args, (*flag.FlagSet).Parse)
}

func parseBy(set *flag.FlagSet, args []string, read func(*flag.FlagSet, []string) error) (ok bool, code int) {
	out, help := set.Output(), set.Usage
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	err := read(set, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		help()
		return false, exitGood
	case err != nil:
		fmt.Fprintln(out, "parallax:", flagFault(set, err))
	}
	return err == nil, exitError
}

// gather reads flags before, between and behind the other words, up to a --.
func gather(set *flag.FlagSet, args []string) error {
	var words []string
	for {
		if err := set.Parse(args); err != nil {
			return err
		}
		rest := set.Args()
		read := args[:len(args)-len(rest)]
		if len(rest) == 0 || len(read) > 0 && read[len(read)-1] == "--" {
			return set.Parse(append(append([]string{"--"}, words...), rest...))
		}
		words, args = append(words, rest[0]), rest[1:]
	}
}

// badValue is what package flag says of a value that it cannot read.
var badValue = regexp.MustCompile(`(?s)^invalid (?:boolean )?value (".*") for (?:flag )?-([^ :]+): (.*)$`)

// flagFault says what is wrong with a flag, in our words.
func flagFault(set *flag.FlagSet, err error) string {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return fmt.Sprintf("%s has no flag %s; %s", set.Name(), dashed(name), yamlstrict.Suggest(dashed(name), flagNames(set)))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Sprintf("%s: %s needs a value", set.Name(), dashed(name))
	}
	if m := badValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s: cannot read %s as %s%s", set.Name(), m[1], dashed(m[2]), valueHint(set.Lookup(m[2]), m[3]))
	}
	return set.Name() + ": " + text
}

// valueHint says how the value of a flag is written.
func valueHint(f *flag.Flag, fault string) string {
	if typed, ok := f.Value.(flag.Getter); ok {
		switch typed.Get().(type) {
		case time.Duration:
			return "; write it like 500ms, 30s or 24h"
		case int, int64:
			return "; write a whole number"
		case float64:
			return "; write a number"
		case bool:
			return "; write it alone, or with =false"
		}
	}
	return ": " + fault
}

func flagNames(set *flag.FlagSet) (names []string) {
	set.VisitAll(func(f *flag.Flag) { names = append(names, dashed(f.Name)) })
	return names
}
