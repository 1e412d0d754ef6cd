package ui

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// TestCurl runs the command in a shell: what arrives is the request, whatever was in it, and
// nothing of it is run.
func TestCurl(t *testing.T) {
	t.Parallel()
	const hostileText = "it's `id` $(id) \\ \"x\" @/etc/passwd; touch pwned\n& é"
	type arrived struct{ Method, Target, Body, Note, Empty, Type string }
	arrivals := make(chan arrived, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, empty := r.Header["X-Empty"]
		arrivals <- arrived{r.Method, r.RequestURI, string(body), r.Header.Get("X-Note"), map[bool]string{true: "there"}[empty], r.Header.Get("Content-Type")}
	}))
	t.Cleanup(server.Close)
	f := func(method, target, body string, want arrived) {
		t.Helper()
		r := &parallax.Request{Method: method, Target: target, Host: strings.TrimPrefix(server.URL, "http://"), Headers: []parallax.Field{
			{Name: "Content-Length", Value: "7"}, {Name: "X-Note", Value: strings.ReplaceAll(hostileText, "\n", "")}, {Name: "X-Empty"}, {Name: "X-Control", Value: "a\x1bb"}, {Name: "Expect", Value: "100-continue"},
		}}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", curl(r, []byte(body)))
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, cmd.Args[2])
		}
		want.Note, want.Empty = strings.ReplaceAll(hostileText, "\n", ""), "there"
		if diff := cmp.Diff(want, <-arrivals); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", method, target, diff)
		}
	}
	f("GET", "/orders?ids[]={1,2}&q='x'", "", arrived{Method: "GET", Target: "/orders?ids[]={1,2}&q='x'"})
	f("HEAD", "/orders", "", arrived{Method: "HEAD", Target: "/orders"})
	f("POST", "/orders", hostileText, arrived{Method: "POST", Target: "/orders", Body: hostileText})
	f("POST", "/orders", "@/etc/passwd", arrived{Method: "POST", Target: "/orders", Body: "@/etc/passwd"})
	f("PUT", "/orders", "\x00\x01", arrived{Method: "PUT", Target: "/orders"})
}
