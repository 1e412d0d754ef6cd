package demo

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Release is one published version of a Go program.
type Release struct {
	Module  string // module path, such as github.com/mccutchen/go-httpbin/v2
	Package string // package of the command, under the module
	Version string // such as v2.9.0
}

// The two releases the demo compares: the same service, three years apart.
var (
	Old = Release{httpbinModule, httpbinModule + "/cmd/go-httpbin", "v2.9.0"}
	New = Release{httpbinModule, httpbinModule + "/cmd/go-httpbin", "v2.26.0"}
)

const httpbinModule = "github.com/mccutchen/go-httpbin/v2"

// String returns the release as people write it: go-httpbin v2.9.0.
func (r Release) String() string { return filepath.Base(r.Package) + " " + r.Version }

// Cache returns the folder that installed releases are kept in:
// $XDG_CACHE_HOME/parallax/demo, or ~/.cache/parallax/demo.
func Cache(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "parallax", "demo"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".cache", "parallax", "demo"), nil
	}
	return "", errors.New("cannot find a cache folder: neither XDG_CACHE_HOME nor HOME is set")
}

// binary is where the release stands in the cache once it is installed.
func (r Release) binary(cache string) string {
	return filepath.Join(cache, r.Version, filepath.Base(r.Package))
}

// Installed tells whether the cache holds this release. It asks the binary
// itself, so that a half-written or foreign file does not count.
func (r Release) Installed(cache string) bool {
	info, err := buildinfo.ReadFile(r.binary(cache))
	return err == nil && info.Main.Path == r.Module && info.Main.Version == r.Version
}

// Install builds the release with the Go toolchain, once, and returns the path
// of its binary. The binary appears in the cache whole or not at all.
func (r Release) Install(ctx context.Context, cache string) (string, error) {
	binary := r.binary(cache)
	if r.Installed(cache) {
		return binary, nil
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", fmt.Errorf("cannot make the cache folder: %w", err)
	}
	scratch, err := os.MkdirTemp(cache, "install-")
	if err != nil {
		return "", fmt.Errorf("cannot make a folder to build %s in: %w", r, err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if err := r.build(ctx, scratch); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(scratch, filepath.Base(binary)), binary); err != nil {
		return "", fmt.Errorf("cannot put %s into the cache: %w", r, err)
	}
	if !r.Installed(cache) {
		return "", fmt.Errorf("%s does not say that it is %s: delete it and try again", binary, r)
	}
	return binary, nil
}

func (r Release) build(ctx context.Context, into string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("cannot install %s: the demo builds it with the Go toolchain, and there is no go in PATH: %w", r, err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, goTool, "install", r.Package+"@"+r.Version)
	cmd.Dir = into // outside of any module
	cmd.Env = append(os.Environ(), "GOBIN="+into, "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("cannot install %s with %q: %w\n%s", r, cmd.Args, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}
