package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"parallax/internal/rig"
)

// TestQuickStart does what docs/quickstart.md says, block by block as somebody who pastes
// it, on ports that are free; only building is left out. It holds the page's promises.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the page's services are python3's, which is not here")
	}
	page, err := os.ReadFile("../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	script := pasted(string(page))
	for _, port := range []string{"8080", "7070", "9001", "9002"} {
		address := rig.FreeAddress(t)
		free := address[strings.LastIndex(address, ":")+1:]
		script = regexp.MustCompile(`(127\.0\.0\.1[: ])`+port+`\b`).ReplaceAllString(script, "${1}"+free)
	}
	dir := t.TempDir()
	if err := os.Symlink(rig.Binary(t), filepath.Join(dir, "parallax")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("it ends: %v", err)
	}
	said := string(out)
	for _, promise := range []string{"# parallax.yaml is good", "shop: ROLLBACK", `(1.|2.) of \d+ exchanges diverge, so the rate is between 8`, "would hide 100 of 150 divergences, 2 issues vanish", "# parallax.yaml is good", "shop: HOLD", "needs 3787 exchanges"} {
		at := regexp.MustCompile(promise).FindStringIndex(said)
		if at == nil {
			t.Fatalf("it does not say %q, or not in this order:\n%s", promise, out)
		}
		said = said[at[1]:]
	}
}

// pasted is the page's blocks as one script: shell as it stands, and files as the page names
// them just before.
func pasted(page string) string {
	script := "set -m\ntrap 'kill -9 $(jobs -p) 2>/dev/null; true' EXIT\n"
	named := ""
	for _, m := range regexp.MustCompile("(?s)```(\\w*)\n(.*?)```|`([a-z]+\\.yaml)`:").FindAllStringSubmatch(page, -1) {
		switch body := m[2]; {
		case m[3] != "":
			named = m[3]
		case m[1] == "yaml" && named == "parallax.yaml":
			script += "cat >parallax.yaml <<'END'\nadmin: { listen: \"127.0.0.1:7070\" }\n" + body + "END\n"
		case m[1] == "yaml":
			script += "cat >" + named + " <<'END'\n" + body + "END\n"
		case m[1] == "sh" && !strings.Contains(body, "make setup"):
			script += body
		}
	}
	return script
}
