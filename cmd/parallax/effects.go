package main

import (
	"context"
	"slices"
	"strings"
)

const effectsUsage = effectsVerifyUsage + " | " + effectsPlanUsage + " | " + effectsInstallUsage + " | " + effectsUninstallUsage + " | " + effectsCloneUsage

// runEffects is the verb effects: what is done with the databases of the legs.
func runEffects(ctx context.Context, e env, args []string) int {
	return e.deed(ctx, "effects", effectsUsage, args, []deed{
		{"verify", runEffectsVerify},
		{"plan", runEffectsPlan},
		{"install", runEffectsInstall},
		{"uninstall", runEffectsUninstall},
		{"clone", runEffectsClone},
	})
}

// serviceOf reads a configuration and returns one of its services with databases; of
// several the name says which. Faults are printed.
func serviceOf(e env, file, name string) (Config, ServiceConfig, bool) {
	cfg, faults, err := loadConfig(file)
	if err != nil {
		e.fail("%v", err)
		return cfg, ServiceConfig{}, false
	}
	if len(faults) > 0 {
		printFaults(e.stderr, faults)
		return cfg, ServiceConfig{}, false
	}
	var names []string
	for _, s := range cfg.Services {
		if s.Effects.HasDatabases() {
			names = append(names, s.Name)
		}
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	i := slices.IndexFunc(cfg.Services, func(s ServiceConfig) bool { return s.Name == name })
	switch {
	case len(names) == 0:
		e.fail("no service in %s has effects.primary and effects.candidate: there are no databases to ask", file)
	case name == "":
		e.fail("say --service: one of %s", strings.Join(names, ", "))
	case i < 0 || !slices.Contains(names, name):
		e.fail("there is no service %q with databases in %s; there are %s", name, file, strings.Join(names, ", "))
	default:
		return cfg, cfg.Services[i], true
	}
	return cfg, ServiceConfig{}, false
}
