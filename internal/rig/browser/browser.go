// Package browser opens the pages in Debian's Chromium, for tests: what a page says
// to the console or breaks of its policy is a fault, as is what axe-core finds.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"parallax/internal/rig"
)

// axe is the version of axe-core that scripts/setup-axe.sh installs.
const axe = "axe-core-4.14.1"

// Tab is one tab of a browser of its own, which is closed when the test ends.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// Open starts a Chromium that reaches nothing but what it is sent to.
func Open(t testing.TB) *Tab {
	t.Helper()
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
	})
	ctx, cancel := context.WithTimeout(context.Background(), 4*rig.Patience)
	ctx, free := chromedp.NewExecAllocator(ctx, options...)
	ctx, leave := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits until the browser has ended
			t.Errorf("the browser did not close: %v", err)
		}
		leave()
		free()
		cancel()
	})
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatalf("cannot start Chromium; scripts/setup-test.sh installs it: %v", err)
	}
	return tab
}

// hear keeps what the browser says of a page that is a fault of the page.
func (tab *Tab) hear(event any) {
	fault := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			fault = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		fault = "console." + string(e.Type)
	}
	if fault == "" {
		return
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.faults = append(tab.faults, fault)
}

// Load opens an address and waits until it is there whole.
func (tab *Tab) Load(url string) {
	tab.t.Helper()
	answer, err := chromedp.Run(tab.ctx, chromedp.NavigateResponse(url))
	if err != nil {
		tab.t.Fatalf("%s: %v", url, err)
	}
	if answer != nil && answer.Status != 200 {
		tab.t.Fatalf("%s: status %d", url, answer.Status)
	}
}

// Faults returns what was said of the pages since it was asked last.
func (tab *Tab) Faults() []string {
	tab.t.Helper()
	Ask[bool](tab, "true") // what was said before its answer was heard before it
	tab.mu.Lock()
	defer tab.mu.Unlock()
	faults := tab.faults
	tab.faults = nil
	return faults
}

// Ask returns the value of an expression in the page, of its promise if it is one.
func Ask[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("%.80s: %v", expression, err)
	}
	return value
}

// Look sets the width of the window in pixels and whether the reader likes it "light"
// or "dark".
func (tab *Tab) Look(width int64, scheme string) {
	tab.t.Helper()
	like := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	err := chromedp.Do(tab.ctx, chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, like)
		return err
	}))
	if err != nil {
		tab.t.Fatalf("%d px, %s: %v", width, scheme, err)
	}
}

// Shoot writes the whole page as a PNG file; to an empty folder it writes nothing.
func (tab *Tab) Shoot(dir, name string) {
	tab.t.Helper()
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(100))
	if err = errors.Join(err, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)); err != nil {
		tab.t.Fatal(err)
	}
}

// Wide returns by how many pixels the page is wider than its window.
func (tab *Tab) Wide() int {
	tab.t.Helper()
	return Ask[int](tab, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// Barriers returns what axe-core finds in the page that keeps people out.
func (tab *Tab) Barriers() []string {
	tab.t.Helper()
	Ask[bool](tab, axeSource(tab.t)+"\n;true")
	return Ask[[]string](tab, `axe.run().then(found => found.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary)))`)
}

// axeSource reads axe-core where scripts/setup-axe.sh puts it.
func axeSource(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(cache, "parallax-tests", axe, "axe.min.js"))
	if err != nil {
		t.Fatalf("%v; scripts/setup-test.sh installs it", err)
	}
	return strings.TrimSpace(string(source))
}
