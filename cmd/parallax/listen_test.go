package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// TestStoreListenAnswersQueries reads what was compared, as curl would, before
// and after a restart, when the address changes hands.
func TestStoreListenAnswersQueries(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	back := backend(t, "1.00")
	p := rig.Start(t, fmt.Sprintf("store: { listen: %q }\n", address)+shopConfig(back, back, ""))
	query := func(want string) {
		t.Helper()
		rig.Eventually(t, "an answer to a query", func() error {
			answer, err := http.Get("http://" + address + "/?query=" + url.QueryEscape("SELECT count() FROM comparisons"))
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if text, _ := io.ReadAll(answer.Body); strings.TrimSpace(string(text)) != want {
				return fmt.Errorf("%s %s, want %s", answer.Status, text, want)
			}
			return nil
		})
	}
	call(t, p, "GET", "/orders/1", "", 200)
	query("1")
	p.Restart()
	call(t, p, "GET", "/orders/2", "", 200)
	query("2")
}
