package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const healthyUsage = "healthy [--wait 3s] URL"

// runHealthy is the verb healthy: whether an address answers that it is well. It is what a
// container without a shell has for its health check.
func runHealthy(ctx context.Context, e env, args []string) int {
	set := e.flags("healthy", healthyUsage)
	wait := set.Duration("wait", 3*time.Second, "how long an answer may take")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() != 1 || *wait <= 0 {
		return e.misuse(healthyUsage, "healthy takes one address, such as http://127.0.0.1:7070/readyz, and a --wait above 0")
	}
	if _, err := parseServer(set.Arg(0)); err != nil {
		return e.fail("cannot read the address %q; write it like http://127.0.0.1:7070/readyz", set.Arg(0))
	}
	ctx, stop := context.WithTimeout(ctx, *wait)
	defer stop()
	status, err := statusOf(ctx, set.Arg(0))
	switch {
	case err != nil:
		return e.fail("%v", err)
	case status != http.StatusOK:
		fmt.Fprintf(e.stderr, "parallax: %s answers %d\n", set.Arg(0), status)
		return exitNot
	}
	return exitGood
}

// statusOf asks an address, and follows nowhere else.
func statusOf(ctx context.Context, url string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot read the address %q: %w", url, err)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}
