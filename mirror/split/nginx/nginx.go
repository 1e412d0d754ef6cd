// Package nginx keeps the step in a file with split_clients that an nginx includes.
// Each step is a reload, which leaves workers of before to finish what they have
// begun: a step is pushed when they take no more. deploy/splitters/nginx.conf is the
// configuration this needs.
package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"parallax/internal/atomicfile"
	"parallax/mirror/split"
	"parallax/mirror/split/push"
)

// File is a file that an nginx includes. One goroutine at a time may use it.
type File struct {
	cfg    split.Nginx
	client *http.Client

	leaving []worker // that served before a reload
	reloads int      // asked for, and not seen to their end
	tried   tries
}

var _ push.Splitter = (*File)(nil)

// New returns the file that a configuration names. Nothing is opened yet.
func New(c split.Nginx) *File {
	return &File{cfg: c.WithDefaults(), client: &http.Client{
		Timeout:       answerWithin,
		Transport:     &http.Transport{DisableKeepAlives: true}, // a kept connection would ask a worker of before
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Bounds.
const (
	answerWithin  = 2 * time.Second
	commandWithin = 8 * time.Second
	maxOutput     = 2 << 10               // bytes of a command's that an error repeats
	again         = 20 * time.Millisecond // between two looks at a reload
	quiet         = 500 * time.Millisecond
)

// Push implements [push.Splitter]: the file, a test of the configuration, the reload,
// and waiting until workers of before take no more requests. For step 0 it waits until
// they are gone: one that has a connection without a request yet would still answer it
// as before. Nothing is reloaded where the step is in force already, nor at once where
// the same step was not taken a moment ago.
func (f *File) Push(ctx context.Context, step int) error {
	present, err := f.status(ctx)
	if err != nil {
		present, f.tried = -1, tries{} // then a reload is to mend it
	}
	if present == step {
		f.tried = tries{}
	}
	if err := f.tried.early(step, time.Now()); err != nil {
		return err
	}
	err = f.push(ctx, step, present)
	if present >= 0 && !errors.Is(ctx.Err(), context.Canceled) { // a rollback that comes ends what is waited for
		f.tried = f.tried.after(step, err, time.Now())
	}
	return err
}

// push puts a step in force, whatever came of it before.
func (f *File) push(ctx context.Context, step, present int) error {
	changed, err := f.write(ctx, step)
	if err != nil {
		return err
	}
	if changed || present != step {
		if err := f.reload(ctx); err != nil {
			return err
		}
	}
	return f.settle(ctx, step)
}

// Read implements [push.Splitter]. Step 0 is read only when no worker of before can
// answer any more.
func (f *File) Read(ctx context.Context) (push.Standing, error) {
	step, err := f.status(ctx)
	if left := f.left(gone); err == nil && step == 0 && left > 0 {
		err = errLeft(left)
	}
	return push.Standing{Step: step}, err
}

func errLeft(workers int) error {
	return fmt.Errorf("workers of nginx from before the reload that still serve connections: %d; worker_shutdown_timeout in nginx.conf bounds that", workers)
}

// write replaces the file, unless it says so already, and tests the configuration.
// One that nginx does not take is not left behind.
func (f *File) write(ctx context.Context, step int) (changed bool, err error) {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(f.cfg.File); err == nil {
		mode = info.Mode().Perm()
	}
	before, err := os.ReadFile(f.cfg.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot read what nginx includes: %w", err)
	}
	text := clients(f.cfg.Prefix, step)
	if string(before) == text {
		return false, nil
	}
	if err := atomicfile.ReplaceAs(f.cfg.File, []byte(text), mode); err != nil {
		return false, fmt.Errorf("cannot write what nginx includes: %w", err)
	}
	if err := run(ctx, f.cfg.Test); err != nil {
		err = fmt.Errorf("nginx does not take its configuration, and was not reloaded: %w", err)
		if len(before) > 0 {
			err = errors.Join(err, atomicfile.ReplaceAs(f.cfg.File, before, mode))
		}
		return false, err
	}
	return true, nil
}

// clients is the text that splits users at a step. The candidate's share comes first,
// so that raising it moves nobody back; nginx knows shares of 0.01 %, and none of 0.
func clients(prefix string, step int) string {
	shares := fmt.Sprintf("%d.%02d%% candidate; * primary;", step/100, step%100)
	switch step {
	case 0:
		shares = "* primary;"
	case split.Buckets:
		shares = "* candidate;"
	}
	return fmt.Sprintf("# Written by Parallax, which moves the step.\nsplit_clients $%[1]s_user $%[1]s_leg { %[2]s }\nmap \"\" $%[1]s_step { default %[3]d; }\n", prefix, shares, step)
}

// reload has nginx read its configuration, and remembers who served before.
func (f *File) reload(ctx context.Context) error {
	m, err := f.master()
	if err != nil {
		return err
	}
	before, err := m.workers()
	if err != nil {
		return err
	}
	f.leaving = union(f.remaining(gone), before)
	f.reloads++
	if len(f.cfg.Reload) > 0 {
		return run(ctx, f.cfg.Reload)
	}
	return m.hangUp()
}

// settle waits until the step is in force and workers of before are away enough.
func (f *File) settle(ctx context.Context, step int) error {
	look := time.NewTicker(again)
	defer look.Stop()
	var why error
	for since := time.Now(); ; {
		err := f.unsettled(ctx, step)
		if err != nil {
			since = time.Now()
		}
		if err == nil && (f.seen() || time.Since(since) > quiet) {
			f.leaving, f.reloads = f.remaining(gone), 0
			return nil
		}
		if ctx.Err() == nil || why == nil { // what its end made of a look says nothing
			why = err
		}
		select {
		case <-ctx.Done():
			return cmp.Or(why, ctx.Err())
		case <-look.C:
		}
	}
}

// seen reports whether all workers of before are known. Those of a reload that was
// still being carried out as the next one was asked for are not: nginx has them close
// within 100 ms of starting those that follow them.
func (f *File) seen() bool { return f.cfg.PID != "" && f.reloads <= 1 }

// unsettled says what a reload is waited for, if it is.
func (f *File) unsettled(ctx context.Context, step int) error {
	present, err := f.status(ctx)
	if err != nil {
		return err
	}
	if present != step {
		return fmt.Errorf("nginx was reloaded, and step %d is in force still instead of %d: its error log says why; is %s what its http block includes?", present, step, f.cfg.File)
	}
	enough := closing
	if step == 0 {
		enough = gone
	}
	if left := f.left(enough); left > 0 {
		return errLeft(left)
	}
	return nil
}

// status asks nginx for the step in force.
func (f *File) status(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.cfg.Status, nil)
	if err != nil {
		return 0, err
	}
	res, err := f.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("cannot ask nginx for its step: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64))
	if err != nil {
		return 0, fmt.Errorf("cannot ask nginx for its step: %w", err)
	}
	step, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || res.StatusCode != http.StatusOK || step < 0 || step > split.Buckets {
		return 0, fmt.Errorf("nginx does not tell its step at %s: status %d, %q; let the location return 200 \"$%s_step\\n\"", f.cfg.Status, res.StatusCode, text, f.cfg.Prefix)
	}
	return step, nil
}

// run runs a command of the configuration.
func run(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second // a child of it may hold its output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out[:min(len(out), maxOutput)])))
	}
	return nil
}
