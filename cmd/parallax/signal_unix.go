//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// pauseSignals runs toggle for each SIGUSR1 until ctx ends.
func pauseSignals(ctx context.Context, toggle func()) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			toggle()
		case <-ctx.Done():
			return nil
		}
	}
}
