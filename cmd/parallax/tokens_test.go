package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parallax/internal/rig"
	"parallax/ui"
)

// newToken makes a token as a person would, and returns it and its line.
func newToken(t *testing.T, args ...string) (token, line string) {
	t.Helper()
	var out, said bytes.Buffer
	if code := runToken(t.Context(), env{getenv: noVariables, stdout: &out, stderr: &said}, args); code != exitGood {
		t.Fatalf("parallax token %q: %d %s", args, code, &said)
	}
	_, rest, _ := strings.Cut(said.String(), "\n")
	line, _, _ = strings.Cut(rest, "\n")
	if strings.Contains(said.String(), strings.TrimSpace(out.String())) {
		t.Error("the token is said beside its line")
	}
	return strings.TrimSpace(out.String()), line
}

func writeTokens(t *testing.T, file string, lines ...string) {
	t.Helper()
	text := "tokens:\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestATokenOfCI reads the verdict of its service with the verb that CI calls, and does nothing else; once its line is
// taken out, it reads nothing.
func TestATokenOfCI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.yaml")
	ci, ciLine := newToken(t, "--role", "ci", "--name", "ci-shop", "--service", "shop", "--expires", "2096-12-31")
	admin, adminLine := newToken(t, "--role", "admin", "--name", "ann")
	writeTokens(t, file, ciLine, adminLine)
	config := strings.Replace(shopConfig(backend(t, "9.99"), backend(t, "9.99"), ""), `listen: "127.0.0.1:0" }`, `listen: "127.0.0.1:0", tokens: tokens.yaml }`, 1)
	p := rig.StartIn(t, dir, config)
	verdict := func(token string, args ...string) (int, string) {
		var out, said bytes.Buffer
		e := env{getenv: func(string) string { return token }, stdout: &out, stderr: &said}
		code := runVerdict(t.Context(), e, append([]string{"--server", p.Admin, "--service", "shop"}, args...))
		return code, out.String() + said.String()
	}
	for _, format := range []string{"text", "json", "markdown", "junit"} {
		if code, text := verdict(ci, "--format", format); code != verdictHold || strings.Contains(text, "403") {
			t.Errorf("%s: %d %s", format, code, text)
		}
	}
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte(ci+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := verdict("", "--token-file", secret); code != verdictHold {
		t.Errorf("from a file: %d %s", code, text)
	}
	for name, token := range map[string]string{"no token": "", "another one": "plx_nonsense", "its hash": ciLine} {
		if code, text := verdict(token); code != verdictError || !strings.Contains(text, "401") {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	status := func(token, method, path, body string) int {
		request, err := http.NewRequestWithContext(t.Context(), method, p.Admin+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	step := `{"step":100,"reason":"first users"}`
	if got := status(ci, "PUT", "/api/v1/services/shop/step", step); got != 403 {
		t.Errorf("ci moves the step: %d", got)
	}
	if got := status(admin, "PUT", "/api/v1/services/shop/step", step); got != 200 {
		t.Errorf("an admin moves the step: %d", got)
	}
	writeTokens(t, file, adminLine)
	rig.Eventually(t, "the token to be taken back", func() error {
		if got := status(ci, "GET", "/api/v1/services/shop/verdict", ""); got != 401 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	writeTokens(t, file, "nonsense")
	rig.Eventually(t, "a word on tokens that cannot be used", func() error {
		if got := status(admin, "GET", "/api/v1/services/shop/step", ""); got != 200 {
			t.Fatalf("the tokens of before are not in force: %d", got)
		}
		if !strings.Contains(p.Log(), "the tokens changed and cannot be used") {
			return fmt.Errorf("none")
		}
		return nil
	})
}

// TestTokensThatCannotBe: each fault is named with its line, and nothing serves with them.
func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("ab", 32)
	dir := t.TempDir()
	f := func(text string, wants ...string) {
		t.Helper()
		file := filepath.Join(dir, "tokens.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		faults := tokenFaults(file)
		if len(faults) != len(wants) {
			t.Errorf("%s: %v", text, faults)
			return
		}
		for i, want := range wants {
			if faults[i].Path != "tokens" || !strings.Contains(faults[i].Text, want) {
				t.Errorf("%s: %v, want %q", text, faults[i], want)
			}
		}
		if _, err := openDoor(file, time.Now, slog.New(slog.DiscardHandler)); (err == nil) != (len(wants) == 0) {
			t.Errorf("%s: opened with %v", text, err)
		}
	}
	line := func(s string) string { return "tokens:\n- " + s + "\n" }
	f(line("{ name: a, role: ci, sha256: " + hash + " }"))
	f("", "there is none")
	f(line("{ name: a b, role: root, sha256: x, expires: soon }"), "cannot use \"a b\" as a name", "there is no role \"root\"", "64 hexadecimal digits", "is no day")
	f(line("{ name: a, role: ci, sha256: "+hash+", token: plx }"), "tokens.yaml:2: tokens[0].token: unknown key")
	f(line("{ name: a, role: ci, sha256: "+hash+" }")+"- { name: a, role: ci, sha256: "+hash+" }\n", "the name of tokens[0] too", "that of another token too")
	f(line("{ name: a, role: ci, sha256: "+hash+hash+" }"), "64 hexadecimal digits")
	file := filepath.Join(dir, "tokens.yaml")
	if err := os.Chmod(file, 0o602); err != nil {
		t.Fatal(err)
	}
	if faults := tokenFaults(file); len(faults) != 1 || !strings.Contains(faults[0].Text, "others may write it") {
		t.Errorf("%v", faults)
	}
	if faults := tokenFaults(filepath.Join(dir, "none")); len(faults) != 1 {
		t.Errorf("no file: %v", faults)
	}
}

// TestATokenExpires at the end of its last day.
func TestATokenExpires(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	token, line := newToken(t, "--role", "viewer", "--name", "board", "--expires", "2026-11-30")
	writeTokens(t, file, line)
	now := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	d, err := openDoor(file, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := d.Holder(token); !ok || h.Name != "board" || h.Role != ui.Viewer {
		t.Errorf("on its last day: %+v, %t", h, ok)
	}
	now = now.Add(time.Second)
	if _, ok := d.Holder(token); ok {
		t.Error("it is in force after its last day")
	}
	if _, ok := d.Holder(strings.Repeat("x", 1<<20)); ok {
		t.Error("a token of a megabyte is in force")
	}
}

func TestTokensThatAreNotMade(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"": "cannot use \"\" as a name", "--name a": "there is no role", "--name a --role ci --expires tomorrow": "is no day", "--name a --role ci b": "no argument \"b\"",
	} {
		var out, said bytes.Buffer
		if code := runToken(t.Context(), env{getenv: noVariables, stdout: &out, stderr: &said}, strings.Fields(args)); code != exitError || out.Len() > 0 || !strings.Contains(said.String(), want) {
			t.Errorf("%q: %d %s%s", args, code, &out, &said)
		}
	}
}
