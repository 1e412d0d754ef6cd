package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"parallax"
	"parallax/divergence"
	"parallax/internal/ids"
	"parallax/mirror"
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

// newIdentifiers returns what a service is compared by where legs make up values of
// their own. The map comes from the mirror.
func newIdentifiers(c ServiceConfig) *divergence.Identifiers {
	set, _ := ids.Compile(c.Identifiers) // validated before
	out := &divergence.Identifiers{Set: set}
	for leg, config := range map[parallax.Leg]mirror.LegConfig{
		parallax.Primary: c.Primary, parallax.Candidate: c.Candidate, parallax.Secondary: c.Secondary,
	} {
		for _, u := range config.URLs {
			if at, err := url.Parse(u.URL); err == nil && at.Host != "" {
				out.Origins[leg] = append(out.Origins[leg], at.Scheme+"://"+at.Host)
			}
		}
	}
	return out
}
