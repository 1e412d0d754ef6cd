package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHealthy(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/draining":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/silent":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	f := func(want int, args ...string) {
		t.Helper()
		e := env{stdout: io.Discard, stderr: io.Discard}
		if got := runHealthy(context.Background(), e, args); got != want {
			t.Errorf("healthy %v ends with %d, want %d", args, got, want)
		}
	}
	f(exitGood, s.URL+"/readyz")
	f(exitNot, s.URL+"/draining")
	f(exitNot, s.URL+"/moved")
	f(exitError, "--wait", "50ms", s.URL+"/silent")
	f(exitError, "http://127.0.0.1:1/")
	f(exitError, "://")
	f(exitError)
	f(exitError, s.URL, s.URL)
}
