package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestShoppersComplain(t *testing.T) {
	t.Parallel()
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"shoppers", "--shop", broken.URL, "--count", "2", "--visits", "1", "--rate", "0"}, nothing, &out, io.Discard); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "2 shoppers go to "+broken.URL) || !strings.Contains(out.String(), "404") {
		t.Errorf("it says %s", out.String())
	}
	f := func(code int, args ...string) {
		t.Helper()
		if got := run(t.Context(), append([]string{"shoppers"}, args...), nothing, io.Discard, io.Discard); got != code {
			t.Errorf("%q: exit code %d, want %d", args, got, code)
		}
	}
	f(0, "--help")
	f(2)
	f(2, "--shop", broken.URL, "--count", "0")
	f(2, "--shop", broken.URL, "more")
}
