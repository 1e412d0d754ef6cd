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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
