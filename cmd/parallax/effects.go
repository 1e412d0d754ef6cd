package main

import (
	"context"
	"fmt"
	"strings"
)

const effectsUsage = effectsInstallUsage + " | " + effectsUninstallUsage

// runEffects is the verb effects: what is done with the databases of the legs.
func runEffects(ctx context.Context, e env, args []string) int {
	deeds := []struct {
		name string
		run  func(context.Context, env, []string) int
	}{
		{"install", runEffectsInstall},
		{"uninstall", runEffectsUninstall},
	}
	var names []string
	for _, d := range deeds {
		if len(args) > 0 && args[0] == d.name {
			return d.run(ctx, e, args[1:])
		}
		names = append(names, d.name)
	}
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		fmt.Fprintf(e.stdout, "usage: parallax %s\n", effectsUsage)
		return exitGood
	}
	return e.fail("effects wants to know what to do: one of %s; usage: parallax %s", strings.Join(names, ", "), effectsUsage)
}
