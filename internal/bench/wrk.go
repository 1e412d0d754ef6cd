//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// wrkResult is what the script prints of a run. Times are microseconds.
type wrkResult struct {
	Requests int64   `json:"requests"`
	Duration float64 `json:"duration"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Errors   int64   `json:"errors"`
}

// kind is a sort of request that throughput is measured with.
type kind struct {
	title, method, path string
	body                int // bytes
}

var kinds = [2]kind{
	{title: "GET, 1 KB answer", method: "GET", path: "/items/1"},
	{title: "POST of 4 KB", method: "POST", path: "/items", body: 4 << 10},
}

// wrk asks an address as fast as it answers.
type wrk struct {
	script      string
	connections int
}

func newWrk(l *lab, connections int) (wrk, error) {
	w := wrk{script: filepath.Join(l.dir, "wrk.lua"), connections: connections}
	return w, os.WriteFile(w.script, wrkScript, 0o600)
}

// run lasts span, in whole seconds.
func (w wrk) run(ctx context.Context, address string, k kind, span time.Duration) (wrkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, span+patience)
	defer cancel()
	seconds := strconv.Itoa(max(1, int(span.Round(time.Second)/time.Second)))
	cmd := exec.CommandContext(ctx, "wrk", "-t", "2", "-c", strconv.Itoa(w.connections), "-d", seconds+"s",
		"--timeout", "10s", "-s", w.script, "http://"+address+k.path, "--", k.method, string(jsonOf(max(k.body, 64))))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return wrkResult{}, fmt.Errorf("cannot run wrk: %w\n%s", err, out)
	}
	return parseWrk(out)
}

// parseWrk finds the script's line in the output of wrk.
func parseWrk(out []byte) (wrkResult, error) {
	var r wrkResult
	_, text, ok := bytes.Cut(out, []byte("bench: "))
	if !ok {
		return r, fmt.Errorf("cannot read the output of wrk:\n%s", out)
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("cannot read the output of wrk %q: %w", text, err)
	}
	if r.Requests == 0 || r.Duration == 0 {
		return r, fmt.Errorf("no request was answered:\n%s", out)
	}
	return r, nil
}
