//go:build !unix

package main

import "context"

// pauseSignals waits for ctx to end: there is no such signal here.
func pauseSignals(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
