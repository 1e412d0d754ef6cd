// Command parallax validates a rewrite before cutover. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"parallax/divergence/embedded"
)

func main() {
	embedded.Child() // does not return in the engine's process
	paceGC(os.Getenv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	os.Exit(code)
}
