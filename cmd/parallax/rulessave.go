package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"

	"parallax/compare"
	"parallax/divergence"
)

const savedUsage = "rules saved --server URL --service S [--format text|json]"

// ruleState is what saving needs of the answer about rules.
type ruleState struct {
	RulesVersion string                 `json:"rules_version"`
	Saved        *divergence.SavedRules `json:"saved"`
}

// runRulesSaved prints the rules that people saved on the pages or by rules save, ready to be
// put into the configuration.
func runRulesSaved(ctx context.Context, e env, args []string) int {
	t, code := parseTry(e, "rules saved", savedUsage, false, args, nil)
	switch {
	case t == nil:
		return code
	case t.file != "" || t.limit > 0 || t.endpoint != "":
		return e.fail("rules saved takes no file, --endpoint and --limit; usage: parallax %s", savedUsage)
	}
	state, err := t.savedRules(ctx)
	if err != nil {
		return e.fail("cannot read the saved rules of %q: %v", t.service, err)
	}
	saved := state.Saved
	switch {
	case t.format == "json":
		text, err := json.MarshalIndent(saved, "", "  ")
		if err != nil {
			return e.fail("%v", err)
		}
		fmt.Fprintln(e.stdout, string(text))
	case saved.At.IsZero():
		fmt.Fprintf(e.stdout, "# version %s: nobody saved rules of %s yet\n", saved.Version, t.service)
	default:
		fmt.Fprintf(e.stdout, "# version %s: %s, %s: %s\n%s", saved.Version, comment(saved.Who), saved.At.Format("2006-01-02 15:04:05"), comment(saved.Reason), saved.Text)
	}
	return exitGood
}

func (t *ruleTry) savedRules(ctx context.Context) (state ruleState, err error) {
	raw, err := t.send(ctx, http.MethodGet, "rules", nil)
	if err == nil {
		err = json.Unmarshal(raw, &state)
	}
	if err == nil && state.Saved == nil {
		err = errors.New("rules cannot be saved there")
	}
	return state, err
}

const saveUsage = "rules save --server URL --service S --reason TEXT [--version V] [--format text|json] FILE"

// runRulesSave puts the rules of a file in place of those that were saved before, besides those
// of the configuration.
func runRulesSave(ctx context.Context, e env, args []string) int {
	var reason, version string
	t, code := parseTry(e, "rules save", saveUsage, true, args, func(set *flag.FlagSet) {
		set.StringVar(&reason, "reason", "", "why, in a sentence")
		set.StringVar(&version, "version", "", "the version that these were made from, as rules saved prints it; rules of another are not replaced; empty: whatever is saved")
	})
	switch {
	case t == nil:
		return code
	case reason == "" || t.limit > 0 || t.endpoint != "":
		return e.fail("rules save takes --reason, and no --endpoint and --limit; usage: parallax %s", saveUsage)
	}
	state, err := t.saveFile(ctx, e, version, reason)
	if err != nil {
		return e.fail("cannot save the rules of %q: %v", t.service, err)
	}
	if t.format == "json" {
		text, err := json.MarshalIndent(state.Saved, "", "  ")
		if err != nil {
			return e.fail("%v", err)
		}
		fmt.Fprintln(e.stdout, string(text))
	} else {
		fmt.Fprintf(e.stdout, "saved as version %s; the rules of %s are of version %s now\n", state.Saved.Version, t.service, state.RulesVersion)
	}
	return exitGood
}

func (t *ruleTry) saveFile(ctx context.Context, e env, version, reason string) (state ruleState, err error) {
	text, err := os.ReadFile(t.file)
	if err != nil {
		return state, err
	}
	if _, faults := compare.ReadRules(t.file, text); len(faults) > 0 {
		printFaults(e.stderr, faults)
		return state, fmt.Errorf("%s has %s", t.file, numbered(len(faults), "fault"))
	}
	if version == "" {
		if state, err = t.savedRules(ctx); err != nil {
			return state, err
		}
		version = state.Saved.Version
	}
	body, err := json.Marshal(map[string]string{"version": version, "text": string(text), "reason": reason})
	if err != nil {
		return state, err
	}
	raw, err := t.admin.ask(ctx, adminQuestion{method: http.MethodPut, what: "rules", body: body, contentType: "application/json", within: triesFor})
	if err == nil {
		err = json.Unmarshal(raw, &state)
	}
	return state, err
}
