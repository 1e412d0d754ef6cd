package notices

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/signature"
)

// Receiver is who is told, and of what.
type Receiver struct {
	Name        string        `yaml:"name" doc:"what the receiver is called in the log and in metrics"`
	URLFile     string        `yaml:"url_file" doc:"file with the URL that messages are sent to, which often is a secret; read for each message, so that it can be replaced"`
	Format      string        `yaml:"format" enum:"json,slack" doc:"json: the document of docs/notifications.md; slack: what Slack's incoming webhooks take"`
	On          []Kind        `yaml:"on" enum:"new_issue,regressed_issue,verdict,rollback" doc:"what is told; empty: all"`
	Services    []string      `yaml:"services" doc:"of which services; empty: of all"`
	MinInterval time.Duration `yaml:"min_interval" doc:"how long after a message about a service the next one may come; what happens meanwhile comes together. Bad news does not wait"`
	SecretFile  string        `yaml:"secret_file" doc:"file with a secret that messages are signed with, as those to split.push are (X-Parallax-Signature); empty: they are not"`
}

// SetDefaults makes a receiver of plain JSON, once a minute at most.
func (r *Receiver) SetDefaults() { r.Format, r.MinInterval = "json", time.Minute }

// Validate returns everything that is wrong with a receiver, its files included.
func (r Receiver) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if r.Name == "" || len(r.Name) > 60 {
		fault("name", fmt.Sprintf("%.70q is no name", r.Name), "write up to 60 bytes, such as team-shop")
	}
	if _, err := r.url(); err != nil {
		fault("url_file", err.Error(), "name a file with one URL in it")
	}
	if r.SecretFile != "" {
		if _, err := signature.Secret(r.SecretFile); err != nil {
			fault("secret_file", err.Error(), "name a file with 16 bytes or more, or leave it out")
		}
	}
	if r.Format != "json" && r.Format != "slack" {
		fault("format", fmt.Sprintf("unknown value %.70q", r.Format), "write json or slack")
	}
	for _, k := range r.On {
		if !slices.Contains(Kinds, k) {
			fault("on", fmt.Sprintf("unknown value %.70q", k), "write new_issue, regressed_issue, verdict or rollback")
		}
	}
	if r.MinInterval < 0 || r.MinInterval > 24*time.Hour {
		fault("min_interval", fmt.Sprintf("%s is not between 0 and 24h", r.MinInterval), "write 1m")
	}
	return faults
}

func (r Receiver) wants(service string) bool {
	return len(r.Services) == 0 || slices.Contains(r.Services, service)
}

// url reads where messages go. No error repeats it.
func (r Receiver) url() (string, error) {
	text, err := os.ReadFile(r.URLFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the URL: %w", err)
	}
	address := strings.TrimSpace(string(text))
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("there is no http or https URL in it")
	}
	return address, nil
}
