package github

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"parallax"
)

// Config is what a deployment protection rule is answered by. Without deployments there is none.
type Config struct {
	API        string        `yaml:"api" doc:"where GitHub's API is: https://HOST/api/v3 for an Enterprise Server"`
	SecretFile string        `yaml:"secret_file" doc:"file with the secret of the App's webhook; read for each delivery, so that it can be replaced"`
	App        string        `yaml:"app" doc:"the client id of the GitHub App, or its number"`
	KeyFile    string        `yaml:"key_file" doc:"file with the App's private key, PEM; read again when a token is needed"`
	Wait       time.Duration `yaml:"wait" doc:"how long a deployment waits for promote or rollback; then it is rejected, with what is missing"`

	Deployments []Deployment `yaml:"deployments" doc:"which deployments ask which service; where several lines are about one, each must be promote"`
}

// Deployment is what asks for the verdict on a service.
type Deployment struct {
	Repository  string `yaml:"repository" doc:"owner and name, such as acme/shop"`
	Environment string `yaml:"environment" doc:"the environment that has the rule, such as production"`
	Service     string `yaml:"service" doc:"the service whose verdict counts"`
	Group       string `yaml:"group" doc:"a group of its endpoints (split.groups); empty: all"`
	Version     string `yaml:"version" enum:",sha,ref" doc:"what the candidate says its version is, where a verdict on another one is hold: sha, the commit, or the beginning of it; ref, the branch or tag; empty: whatever it is"`
}

// DefaultConfig answers nothing.
func DefaultConfig() Config {
	return Config{API: "https://api.github.com", Wait: 24 * time.Hour}
}

// given reports whether there is a rule to answer.
func (c Config) given() bool { return len(c.Deployments) > 0 }

// maxWait is how long GitHub itself waits for an answer.
const maxWait = 30 * 24 * time.Hour

// Validate returns everything that is wrong with c, its files included.
func (c Config) Validate() []parallax.Fault {
	if !c.given() {
		return nil
	}
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if u, err := url.Parse(c.API); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.HasSuffix(u.Path, "/") ||
		u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "127.0.0.1") {
		fault("api", fmt.Sprintf("%.200q is not an address of GitHub's API", c.API), "write https://api.github.com, or https://HOST/api/v3")
	}
	if c.App == "" || strings.ContainsAny(c.App, " \t\n\"\\") {
		fault("app", fmt.Sprintf("%.70q is not the client id of an App", c.App), "write what the App's settings say")
	}
	if c.Wait < time.Minute || c.Wait > maxWait {
		fault("wait", fmt.Sprintf("%s is not between a minute and 30 days, after which GitHub rejects", c.Wait), "write 24h")
	}
	if _, err := readSecret(c.SecretFile); err != nil {
		fault("secret_file", err.Error(), "name a file with the webhook's secret, 16 bytes or more")
	}
	if _, err := readKey(c.KeyFile); err != nil {
		fault("key_file", err.Error(), "name the file that GitHub gave for the App")
	}
	for i, d := range c.Deployments {
		faults = append(faults, parallax.Under(fmt.Sprintf("deployments[%d]", i), d.validate())...)
	}
	return faults
}

func (d Deployment) validate() []parallax.Fault {
	var faults []parallax.Fault
	owner, name, ok := strings.Cut(d.Repository, "/")
	if !ok || !plain(owner) || !plain(name) {
		faults = append(faults, parallax.Fault{Path: "repository", Text: fmt.Sprintf("%.200q is not a repository", d.Repository), Hint: "write its owner and name, such as acme/shop"})
	}
	if d.Environment == "" {
		faults = append(faults, parallax.Fault{Path: "environment", Text: "is empty", Hint: "name the environment that has the rule, such as production"})
	}
	if d.Service == "" {
		faults = append(faults, parallax.Fault{Path: "service", Text: "is empty", Hint: "name a service"})
	}
	if d.Version != "" && d.Version != "sha" && d.Version != "ref" {
		faults = append(faults, parallax.Fault{Path: "version", Text: fmt.Sprintf("unknown value %.70q", d.Version), Hint: "write sha or ref, or leave it out"})
	}
	return faults
}

// plain reports whether a text may be the name of an owner or a repository.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

const minSecret = 16 // bytes

func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the secret: %w", err)
	}
	secret := []byte(strings.TrimSpace(string(text)))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret is shorter than %d bytes", minSecret)
	}
	return secret, nil
}

// readKey reads the private key of an App, in either form that there is.
func readKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	key, ok := any.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not one of RSA, as those of Apps are")
	}
	return key, nil
}
