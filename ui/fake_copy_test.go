package ui

import "context"

// fakeCopying is a copy that is where it was told to be.
type fakeCopying struct {
	copy *Copy
	err  error
}

func (c *fakeCopying) Copy() *Copy { return c.copy }

func (c *fakeCopying) BeginCopy(_ context.Context, who, reason string) error {
	if c.err == nil {
		c.copy = &Copy{Leg: "candidate", State: "copying", Who: who, Reason: reason, Began: now, Position: "0/16B3748", Snapshot: "00000003-00000002-1"}
	}
	return c.err
}

func (c *fakeCopying) EndCopy(context.Context, string, string) error {
	if c.err == nil {
		c.copy = &Copy{Leg: "candidate", State: "copied", Began: now, Ended: now, Position: "0/16B3748"}
	}
	return c.err
}

func (c *fakeCopying) CancelCopy(context.Context, string, string) error {
	if c.err == nil {
		c.copy = nil
	}
	return c.err
}
