package main

import (
	"fmt"
	"io"
	"strings"

	"parallax"
	"parallax/internal/ids"
)

// printIdentifiers lists what legs make up by themselves that is known without being
// declared.
func printIdentifiers(to io.Writer) {
	set, _ := ids.Compile([]ids.Config{{Name: ids.Cursor}}) // it has no fault
	fmt.Fprint(to, "# Identifiers that every service has; cursors of bodies where identifiers are declared:\n")
	for _, id := range set.All() {
		fmt.Fprintf(to, "#   %s  from %s; in %s\n", id.Name, strings.Join(id.From(parallax.Primary), ", "), strings.Join(id.In(parallax.Primary), ", "))
	}
}
