package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"go.yaml.in/yaml/v3"

	"parallax/reports"
)

const ciDir = "../../deploy/ci/"

func readCI(t *testing.T, name string, into any) []byte {
	t.Helper()
	text, err := os.ReadFile(ciDir + name)
	if err == nil && into != nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestArgoTemplate evaluates the conditions of the template in their own language on every
// word of a verdict, and holds its limits together.
func TestArgoTemplate(t *testing.T) {
	t.Parallel()
	var template struct {
		Spec struct {
			Metrics []struct {
				Interval                                                                               string
				Count, FailureLimit, InconclusiveLimit, ConsecutiveSuccessLimit, ConsecutiveErrorLimit int
				SuccessCondition, FailureCondition                                                     string
				Provider                                                                               struct {
					Web struct{ URL, JSONPath string }
				}
			}
		}
	}
	text := readCI(t, "argo-analysistemplate.yaml", nil)
	var raw any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(raw) // whose names are not told apart by case
	if err == nil {
		err = json.Unmarshal(asJSON, &template)
	}
	if err != nil || len(template.Spec.Metrics) != 1 {
		t.Fatalf("%v, %+v", err, template)
	}
	m := template.Spec.Metrics[0]
	for word, want := range map[reports.Decision][2]bool{reports.Promote: {true, false}, reports.Hold: {false, false}, reports.Rollback: {false, true}} {
		answer, err := json.Marshal(reports.Verdict{Service: "shop", Decision: word})
		if err != nil {
			t.Fatal(err)
		}
		var result any
		if err := json.Unmarshal(answer, &result); err != nil {
			t.Fatal(err)
		}
		var got [2]bool
		for i, condition := range []string{m.SuccessCondition, m.FailureCondition} {
			value, err := expr.Eval(condition, map[string]any{"result": result})
			if err != nil {
				t.Fatalf("%s: %v", condition, err)
			}
			got[i] = value.(bool)
		}
		if got != want {
			t.Errorf("%s: success and failure are %v, want %v", word, got, want)
		}
	}
	every, err := time.ParseDuration(m.Interval)
	if err != nil || time.Duration(m.Count)*every != time.Hour || m.InconclusiveLimit < m.Count || m.FailureLimit != 0 || m.ConsecutiveSuccessLimit != 1 || m.ConsecutiveErrorLimit < 5 {
		t.Errorf("%+v, %v", m, err)
	}
	if web := m.Provider.Web; !strings.HasSuffix(web.URL, "/api/v1/services/{{args.service}}/verdict") || web.JSONPath != "{$}" {
		t.Errorf("%+v", web)
	}
	var rollout struct {
		Spec struct {
			Strategy struct {
				Canary struct {
					Steps []struct {
						Analysis struct {
							Templates []struct {
								TemplateName string `yaml:"templateName"`
							}
						}
					}
				}
			}
		}
	}
	readCI(t, "argo-rollout.yaml", &rollout)
	if steps := rollout.Spec.Strategy.Canary.Steps; len(steps) == 0 || len(steps[0].Analysis.Templates) != 1 || steps[0].Analysis.Templates[0].TemplateName != "parallax-verdict" {
		t.Errorf("the rollout does not begin with the gate: %+v", steps)
	}
}

// TestFlaggerCanary: each hook goes to the route that answers it the right way round.
func TestFlaggerCanary(t *testing.T) {
	t.Parallel()
	var canary struct {
		Spec struct {
			Analysis struct{ Webhooks []struct{ Type, URL string } }
		}
	}
	readCI(t, "flagger-canary.yaml", &canary)
	routes := map[string]string{
		"confirm-rollout": "confirm", "confirm-traffic-increase": "confirm", "confirm-promotion": "confirm",
		"pre-rollout": "progress", "rollout": "progress", "rollback": "rollback", "event": "event", "post-rollout": "event",
	}
	seen := map[string]bool{}
	for _, hook := range canary.Spec.Analysis.Webhooks {
		u, err := url.Parse(hook.URL)
		if err != nil || u.Path != "/api/v1/flagger/"+routes[hook.Type]+"/shop" {
			t.Errorf("the hook %s goes to %s (%v)", hook.Type, hook.URL, err)
		}
		seen[routes[hook.Type]] = true
	}
	if len(seen) != 4 {
		t.Errorf("the routes that are used: %v, want all four", seen)
	}
}

// TestSnippetsForCI: what the snippets run is what the verb understands.
func TestSnippetsForCI(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`parallax verdict (.*?)( >>? .*)?'?\)?$`)
	for _, name := range []string{"github-actions.yaml", "gitlab-ci.yaml", "Jenkinsfile"} {
		var into any
		if filepath.Ext(name) == ".yaml" {
			readCI(t, name, &into)
		}
		found := 0
		for line := range strings.Lines(string(readCI(t, name, nil))) {
			m := command.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			found++
			args := strings.Fields(strings.NewReplacer(`"$PARALLAX"`, "http://parallax.internal:7070", `"$VERSION"`, "2.0.0", `"$CI_COMMIT_TAG"`, "2.0.0", `"$TAG_NAME"`, "2.0.0").Replace(m[1]))
			var said bytes.Buffer
			if q, code := parseVerdict(env{stdout: &said, stderr: &said}, args); q == nil || code != 0 || q.wait != 30*time.Minute || q.about != "2.0.0" {
				t.Errorf("%s: %q is not understood: %s", name, args, &said)
			}
		}
		if found != 1 {
			t.Errorf("%s runs the verb %d times", name, found)
		}
	}
}
