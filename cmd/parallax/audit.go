package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"parallax/reports"
)

const (
	auditVerifyUsage = "audit verify (-c FILE | --file FILE) [--head HASH]"
	auditListUsage   = "audit list (-c FILE | --file FILE) [--who NAME] [--service S] [--object O] [--deed D] [--since 24h] [--limit N] [--json]"
	auditUsage       = auditVerifyUsage + " | " + auditListUsage
)

// runAudit is the verb audit: what is done with the chains of decisions and of what people did.
func runAudit(ctx context.Context, e env, args []string) int {
	return e.deed(ctx, "audit", auditUsage, args, []deed{{"verify", runAuditVerify}, {"list", runAuditList}})
}

// someHash is a head as a log has it, or how it begins.
var someHash = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// runAuditVerify walks the chain of each service of a configuration, or the one at a
// path, and says where it is broken. It may be run beside a Parallax that writes it. It
// exits with 0 when all are whole and one has the head, 1 when not, 2 for an error.
func runAuditVerify(ctx context.Context, e env, args []string) int {
	set := e.flags("audit verify", auditVerifyUsage)
	config := set.String("c", "", "`FILE`, the configuration, whose state_dir has a chain for each service, and one of the admin listener")
	file := set.String("file", "", "`FILE`, a chain, such as parallax-state/shop.verdicts, in place of those of a configuration")
	head := set.String("head", "", "`HASH`, a head from a log, or its first 12 digits or more: it must be in a chain")
	if ok, code := parse(set, args); !ok {
		return code
	}
	switch {
	case set.NArg() > 0:
		return e.fail("audit verify takes no argument %q", set.Arg(0))
	case (*config == "") == (*file == ""):
		return e.fail("audit verify wants -c, the configuration, or --file, a chain such as parallax-state/shop.verdicts")
	case *head != "" && !someHash.MatchString(*head):
		return e.fail("cannot read --head %.80q: want the chain of a verdict, 64 hex digits, or at least its first 12", *head)
	}
	paths := []string{*file}
	if *file == "" {
		cfg, faults, err := loadConfig(*config)
		if err != nil {
			return e.fail("%v", err)
		}
		if len(faults) > 0 {
			printFaults(e.stderr, faults)
			return exitError
		}
		paths = []string{reports.AccessPath(cfg.StateDir)}
		for _, s := range cfg.Services {
			paths = append(paths, reports.ChainPath(cfg.StateDir, s.Name))
		}
	}
	a := audit{env: e, head: *head, told: time.Now()}
	return a.verify(ctx, paths)
}

// audit is one run of the verb.
type audit struct {
	env
	head  string // or how it begins
	found bool
	bad   bool

	records int
	first   reports.ChainRecord // of a chain
	last    reports.ChainRecord
	told    time.Time
}

func (a *audit) verify(ctx context.Context, paths []string) int {
	for _, path := range paths {
		err := a.chain(ctx, path)
		var broken *reports.ChainFault
		switch {
		case errors.As(err, &broken):
			a.bad = true
			fmt.Fprintf(a.stdout, "%s: BROKEN: %v\n", path, err)
		case err != nil:
			return a.fail("cannot verify %s: %v", path, err)
		}
	}
	if a.head != "" && !a.found {
		a.bad = true
		fmt.Fprintf(a.stdout, "no chain has the head %s: it was cut, or written anew, or the head is of another one\n", a.head)
	}
	if a.bad {
		return exitNot
	}
	return exitGood
}

// chain walks all files of one chain.
func (a *audit) chain(ctx context.Context, path string) error {
	files, err := reports.ChainFiles(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(files) == 0 {
		fmt.Fprintf(a.stdout, "%s: there is no chain: nothing to keep has happened yet\n", path)
		return nil
	}
	a.records = 0
	end := reports.ChainEnd{}
	for i, name := range files {
		if end, err = a.file(ctx, name, end.Link, i == len(files)-1); err != nil {
			return fmt.Errorf("%s, %w", filepath.Base(name), err)
		}
	}
	a.whole(path, end)
	return nil
}

// file walks one file after what came before it. Only the last may end in a line that is
// not whole: it is being written, or was when the process died.
func (a *audit) file(ctx context.Context, name string, after reports.Link, last bool) (reports.ChainEnd, error) {
	file, err := os.Open(name)
	if err != nil {
		return reports.ChainEnd{}, err
	}
	defer file.Close()
	end, err := reports.WalkChain(untilDone{ctx, file}, after, func(line int, r reports.ChainRecord, hash string) { a.note(name, line, r, hash) })
	if err == nil && end.Torn > 0 {
		if !last {
			return end, &reports.ChainFault{Line: end.Lines + 1, Err: errors.New("the line is not whole")}
		}
		fmt.Fprintf(a.stdout, "%s: line %d is not whole: it is being written, or was when Parallax was killed, which cuts it off at its next start\n", name, end.Lines+1)
	}
	return end, err
}

// note looks at one record.
func (a *audit) note(name string, line int, r reports.ChainRecord, hash string) {
	if a.records++; a.records == 1 {
		a.first = r
	}
	a.last = r
	if r.Kind == reports.ChainBroken || r.Kind == reports.ChainCut || r.Kind == reports.ChainLost {
		fmt.Fprintf(a.stdout, "%s: line %d: %s on %s: %.300q\n", name, line, r.Kind, r.At.Format(time.DateTime), r.Note)
	}
	if a.head != "" && strings.HasPrefix(hash, a.head) {
		a.found = true
		fmt.Fprintf(a.stdout, "%s: line %d has the head %s, of %s UTC\n", name, line, hash, r.At.UTC().Format(time.DateTime))
	}
	if now := time.Now(); now.Sub(a.told) > 2*time.Second {
		a.told = now
		fmt.Fprintf(a.stderr, "parallax: %d records are good so far\n", a.records)
	}
}

// whole says what a chain comes to that is not broken.
func (a *audit) whole(path string, end reports.ChainEnd) {
	if a.records == 0 {
		fmt.Fprintf(a.stdout, "%s: good: it has no record yet\n", path)
		return
	}
	fmt.Fprintf(a.stdout, "%s: good: records %d to %d, %s to %s UTC, head %s\n", path,
		a.first.Seq, a.last.Seq, a.first.At.UTC().Format(time.DateTime), a.last.At.UTC().Format(time.DateTime), end.Link.Hash)
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
