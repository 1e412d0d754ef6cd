package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"parallax/ui"
)

const effectsCloneUsage = "effects clone --server URL --service S [--reason TEXT] -- COMMAND [ARGUMENT...]"

// cloning is one run of the verb effects clone.
type cloning struct {
	admin
	env
	reason string
}

// runEffectsClone has a running Parallax keep the candidate quiet and take a snapshot of the
// primary's database, runs a command that copies it into the candidate's, and waits until
// what the candidate has missed is caught up. It returns 0 then, and 2 when something failed,
// after which the candidate goes on with what it had, unless it is said otherwise.
func runEffectsClone(ctx context.Context, e env, args []string) int {
	c := cloning{env: e}
	set := e.flags("effects clone", effectsCloneUsage)
	server := set.String("server", "", "`URL` of the admin pages of Parallax, such as http://127.0.0.1:7070")
	set.StringVar(&c.service, "service", "", "the service, by its `NAME` in the configuration")
	set.StringVar(&c.reason, "reason", "", "why, in a sentence; it is kept with the service's history")
	var secret tokenFlag
	secret.on(set)
	if ok, code := parseCommand(set, args); !ok {
		return code
	}
	u, err := parseServer(*server)
	if err == nil {
		c.token, err = secret.read(e.getenv)
	}
	switch {
	case *server == "" || c.service == "" || set.NArg() == 0:
		return e.fail("effects clone needs --server, --service and a command that copies the database; usage: parallax %s", effectsCloneUsage)
	case err != nil:
		return e.fail("%v", err)
	}
	c.server = u
	if err := c.run(ctx, set.Args()); err != nil {
		return e.fail("cannot make the candidate's database of %q anew: %v", c.service, err)
	}
	return exitGood
}

func (c *cloning) run(ctx context.Context, command []string) error {
	c.say("waiting until the candidate has done what it was asked and the primary's transactions that are open now have ended")
	on, err := c.change(ctx, "begin")
	if err != nil {
		return err
	}
	c.say("the copy is of %s in the log of the primary's database, snapshot %s", on.Position, on.Snapshot)
	if err := c.copy(ctx, on, command); err != nil {
		// The command may have been interrupted with us: whoever cancels is not.
		if _, wrong := c.change(context.WithoutCancel(ctx), "cancel"); wrong != nil {
			return errors.Join(err, fmt.Errorf("the candidate is asked nothing until the copy is cancelled, which failed: %w", wrong))
		}
		return fmt.Errorf("%w; the copy was cancelled, and the candidate is asked again: if its database was changed by then, begin another copy", err)
	}
	if _, err := c.change(ctx, "end"); err != nil {
		return fmt.Errorf("the database was copied, and the candidate is asked nothing until the copy is ended, which failed: %w", err)
	}
	return c.catchUp(ctx)
}

func (c *cloning) say(format string, args ...any) {
	fmt.Fprintf(c.stderr, format+"\n", args...)
}

// copy runs the command that copies the database, which knows the snapshot from its
// environment. It is told when it is to end.
func (c *cloning) copy(ctx context.Context, on *ui.Copy, command []string) error {
	run := exec.CommandContext(ctx, command[0], command[1:]...)
	run.Env = append(os.Environ(), "PARALLAX_SNAPSHOT="+on.Snapshot, "PARALLAX_POSITION="+on.Position)
	run.Stdin, run.Stdout, run.Stderr = c.stdin, c.stdout, c.stderr
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.WaitDelay = 10 * time.Second
	began := time.Now()
	if err := run.Run(); err != nil {
		return fmt.Errorf("%s: %w", command[0], cmp.Or(ctx.Err(), err))
	}
	c.say("copied in %s", time.Since(began).Round(time.Millisecond))
	return nil
}

func (c *cloning) change(ctx context.Context, verb string) (*ui.Copy, error) {
	body, err := json.Marshal(map[string]string{"reason": c.reason})
	if err != nil {
		return nil, err
	}
	raw, err := c.ask(ctx, adminQuestion{method: http.MethodPost, what: "copy:" + verb, body: body, contentType: "application/json", within: 3 * time.Minute})
	if err != nil {
		return nil, err
	}
	var out struct{ Copy *ui.Copy }
	if err := json.Unmarshal(raw, &out); err != nil || out.Copy == nil && verb != "cancel" {
		return nil, fmt.Errorf("cannot read the answer; is this the admin address of Parallax? %w", cmp.Or(err, errors.New("it has no copy")))
	}
	return out.Copy, nil
}

const (
	lookEvery = 200 * time.Millisecond
	tellEvery = 5 * time.Second
)

// catchUp waits until the candidate has all that it has missed.
func (c *cloning) catchUp(ctx context.Context) error {
	var told time.Time
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		left, err := c.missed(ctx)
		if err != nil {
			return fmt.Errorf("the candidate works on the copy, and catches up by itself; how far it is cannot be told: %w", err)
		}
		if left.Waiting == 0 {
			c.say("the candidate has everything but what %d users or entities lack", left.Tainted)
			return nil
		}
		if now := time.Now(); now.Sub(told) >= tellEvery {
			told = now
			c.say("%d writes are still to be caught up", left.Waiting)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("interrupted; the candidate works on the copy, and catches up by itself: %w", ctx.Err())
		}
	}
}

// missed returns what the candidate has missed and not got yet.
func (c *cloning) missed(ctx context.Context) (ui.MissedWrites, error) {
	var out struct{ Missed ui.MissedWrites }
	raw, err := c.ask(ctx, adminQuestion{method: http.MethodGet, what: "copy", within: 30 * time.Second})
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out.Missed, err
}
