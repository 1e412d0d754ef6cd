package main

import (
	"context"
	"flag"
	"fmt"

	"parallax/compare/effects/postgres"
)

const (
	effectsInstallUsage   = "effects install --dsn DSN|--print TABLE..."
	effectsUninstallUsage = "effects uninstall --dsn DSN|--print [--publication NAME] [TABLE...]"
)

// installing is what install and uninstall are told.
type installing struct {
	source postgres.Source
	print  bool
}

func (i *installing) flags(set *flag.FlagSet) {
	set.StringVar(&i.source.DSN, "dsn", "", "connection string of the database; its password may stand in PGPASSWORD or ~/.pgpass instead")
	set.BoolVar(&i.print, "print", false, "print the statements instead of running them")
}

// read reads the command line of a deed that takes tables.
func (i *installing) read(e env, set *flag.FlagSet, args []string) (ok bool, code int) {
	i.flags(set)
	if ok, code := parse(set, args); !ok {
		return false, code
	}
	i.source.Tables = set.Args()
	if i.print == (i.source.DSN != "") {
		return false, e.fail("say --dsn, to change a database, or --print, to see the statements that would")
	}
	return true, exitGood
}

// runEffectsInstall puts the trigger on tables that says which exchange a transaction
// belongs to, for services that carry nothing but sqlcommenter's comments or a setting.
func runEffectsInstall(ctx context.Context, e env, args []string) int {
	var i installing
	if ok, code := i.read(e, e.flags("effects install", effectsInstallUsage), args); !ok {
		return code
	}
	if i.print {
		return printSQL(e, i.source, postgres.InstallSQL)
	}
	if err := postgres.Install(ctx, i.source); err != nil {
		return e.fail("cannot install the trigger: %v", err)
	}
	fmt.Fprintf(e.stdout, "%s: %d tables have the trigger; parallax effects uninstall removes it\n", i.source.Where(), len(i.source.Tables))
	return exitGood
}

// runEffectsUninstall removes everything that Parallax left in a database.
func runEffectsUninstall(ctx context.Context, e env, args []string) int {
	var i installing
	set := e.flags("effects uninstall", effectsUninstallUsage)
	set.StringVar(&i.source.Publication, "publication", postgres.DefaultPublication, "name of the publication that is removed too")
	if ok, code := i.read(e, set, args); !ok {
		return code
	}
	if i.print {
		return printSQL(e, i.source, postgres.UninstallSQL)
	}
	if len(i.source.Tables) > 0 {
		return e.fail("uninstall finds the tables by itself; name them with --print only")
	}
	if err := postgres.Uninstall(ctx, i.source); err != nil {
		return e.fail("cannot remove everything: %v", err)
	}
	fmt.Fprintf(e.stdout, "%s: nothing of Parallax is left\n", i.source.Where())
	return exitGood
}

func printSQL(e env, s postgres.Source, write func(postgres.Source) (string, error)) int {
	text, err := write(s)
	if err != nil {
		return e.fail("%v", err)
	}
	fmt.Fprint(e.stdout, text)
	return exitGood
}
