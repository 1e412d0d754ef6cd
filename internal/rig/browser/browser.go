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
	"github.com/chromedp/chromedp/kb"

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

// Scripts lets pages run their scripts, or not.
func (tab *Tab) Scripts(run bool) {
	tab.t.Helper()
	off := emulation.SetScriptExecutionDisabledParams{Value: !run}
	err := chromedp.Do(tab.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, off)
		return err
	}))
	if err != nil {
		tab.t.Fatalf("scripts %v: %v", run, err)
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

// maxStops is how often Tab is pressed to find something on a page.
const maxStops = 500

// Reach presses Tab until what has the focus goes by a name, its label or text, and sees to it
// that a person sees where the focus is.
func (tab *Tab) Reach(name string) {
	tab.t.Helper()
	var passed []string
	for ends := 0; ends < 2; { // from wherever the focus was, once around
		if len(passed) > maxStops {
			break
		}
		tab.Press(kb.Tab)
		at := Ask[focused](tab, `(() => {
			const e = document.activeElement, style = getComputedStyle(e);
			if (e === document.body) return { name: "", seen: true };
			const label = e.labels && e.labels.length ? e.labels[0].textContent : e.getAttribute("aria-label") || e.innerText || e.value || "";
			return { name: label.trim(), seen: style.outlineStyle !== "none" || style.boxShadow !== "none" };
		})()`)
		if at.Name == name {
			if !at.Seen {
				tab.t.Errorf("nobody sees that %q has the focus", name)
			}
			return
		}
		if passed = append(passed, at.Name); at.Name == "" {
			ends++
		}
	}
	tab.t.Fatalf("no press of Tab reaches %q; it came by %.2000q", name, passed)
}

// focused is what has the focus.
type focused struct {
	Name string `json:"name"`
	Seen bool   `json:"seen"`
}

// Press presses keys, one after the other; text is typed.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	if _, err := chromedp.Run(tab.ctx, chromedp.KeyEvent(keys)); err != nil {
		tab.t.Fatalf("pressing %q: %v", keys, err)
	}
}

// Fill types into the field of a name.
func (tab *Tab) Fill(name, text string) {
	tab.t.Helper()
	tab.Reach(name)
	tab.Press(text)
}

// Follow presses Enter on the link or button of a name, and waits for the page it leads to,
// or for the part of it that is put into this one.
func (tab *Tab) Follow(name string) {
	tab.t.Helper()
	before := Ask[float64](tab, `(() => {
		const root = document.documentElement;
		delete root.dataset.followed;
		document.addEventListener("htmx:afterSettle", (e) => { if (e.target.id !== "live") root.dataset.followed = "yes"; });
		return performance.timeOrigin;
	})()`)
	tab.Reach(name)
	tab.Press(kb.Enter)
	rig.Eventually(tab.t, "the page behind "+name, func() error {
		there, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](fmt.Sprintf(
			`(performance.timeOrigin !== %v && document.readyState === "complete") || document.documentElement.dataset.followed === "yes"`, before)))
		if err == nil && !there {
			err = errors.New("it is not there")
		}
		return err
	})
}

// Text is what a reader of the page sees, with plain spaces.
func (tab *Tab) Text() string {
	tab.t.Helper()
	return strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(Ask[string](tab, "document.body.innerText"))
}

// Address is where the page is.
func (tab *Tab) Address() string {
	tab.t.Helper()
	return Ask[string](tab, "location.href")
}
