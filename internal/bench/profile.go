//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed profiling.txt
var profiling []byte

// build builds the product into the run's folder. With profiled it serves its
// profiles too, which the product itself does not: a file is laid over the
// sources for this build.
func build(ctx context.Context, l *lab, profiled bool) ([]string, error) {
	path := filepath.Join(l.dir, "parallax")
	args := []string{"build", "-o", path}
	if profiled {
		overlay, err := overlay(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("cannot build parallax: %w", err)
		}
		args = append(args, "-overlay", overlay)
	}
	text, err := exec.CommandContext(ctx, "go", append(args, "parallax/cmd/parallax")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cannot build parallax: %w\n%s", err, text)
	}
	return []string{path}, nil
}

// overlay writes the file that lays profiling over the sources, and returns its
// path.
func overlay(ctx context.Context, l *lab) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "parallax/cmd/parallax").Output()
	if err != nil {
		return "", err
	}
	source, file := filepath.Join(l.dir, "profiling.go"), filepath.Join(l.dir, "overlay.json")
	if err := os.WriteFile(source, profiling, 0o600); err != nil {
		return "", err
	}
	added := filepath.Join(strings.TrimSpace(string(dir)), "bench_profiling.go")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {added: source}})
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, text, 0o600)
}

// profile writes where the processor time of the next seconds goes to a file.
func (p *parallax) profile(ctx context.Context, span time.Duration, file string) error {
	address := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.profiles, max(1, int(span.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot profile parallax: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err != nil {
		return fmt.Errorf("cannot profile parallax: %w", err)
	}
	return os.WriteFile(file, text, 0o600)
}
