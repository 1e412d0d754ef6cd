package mirror_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
)

// h2c returns a client that speaks HTTP/2 in the clear, by prior knowledge.
func h2c(t testing.TB) *http.Client {
	t.Helper()
	var speaks http.Protocols
	speaks.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &speaks, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// speaker starts a server of net/http that speaks HTTP/1.1 and HTTP/2, in the
// clear. It stops when the test ends.
func speaker(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// asksHTTP2 has both legs of a service spoken to by HTTP/2.
func asksHTTP2(cfg mirror.Service) mirror.Service {
	cfg.Primary.Protocol, cfg.Candidate.Protocol = mirror.ProtocolHTTP2, mirror.ProtocolHTTP2
	return cfg
}

// versions are the ways between caller and legs.
var versions = []struct {
	name        string
	caller, leg bool // by HTTP/2
}{{"1.1 to 1.1", false, false}, {"2 to 1.1", true, false}, {"1.1 to 2", false, true}, {"2 to 2", true, true}}

// Whatever is spoken on the two sides, a request and its answer arrive whole:
// target, fields, body, informational answers and trailers.
func TestEveryPairOfVersions(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			type seen struct{ Proto, Method, Target, Host, Body, Header, Trailer string }
			saw := make(chan seen, 2)
			leg := func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("a leg cannot read the body: %v", err)
				}
				saw <- seen{r.Proto, r.Method, r.RequestURI, r.Host, string(body), strings.Join(r.Header["X-Two"], "|"), r.Trailer.Get("X-Sum")}
				w.Header().Set("Link", "</a.css>; rel=preload")
				w.WriteHeader(103)
				w.Header().Set("Trailer", "X-Count")
				w.Header()["Date"] = nil
				io.WriteString(w, "answer")
				w.Header().Set("X-Count", "6")
			}
			cfg := pair(speaker(t, leg), speaker(t, leg), mirror.Own)
			if v.leg {
				cfg = asksHTTP2(cfg)
			}
			r := start(t, cfg)
			if v.caller {
				r.Client = h2c(t)
			}
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(status, h.Get("Link")))
				return nil
			}})
			const target = "//orders/%7e7/../x?a=1;b=%zz&c"
			req, _ := http.NewRequestWithContext(ctx, "POST", r.URL, io.MultiReader(strings.NewReader("hello"), strings.NewReader(" you")))
			req.URL.Opaque = "//shop.example" + target
			req.Host = "shop.example"
			req.Header["X-Two"] = []string{"b", "a"}
			req.Trailer = http.Header{"X-Sum": {"9"}}
			res, err := r.Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(body) != "answer" {
				t.Errorf("the caller got %q, %v", body, err)
			}
			if diff := cmp.Diff([]string{"103</a.css>; rel=preload"}, hints); diff != "" {
				t.Errorf("informational answers (-want +got):\n%s", diff)
			}
			if got := res.Trailer.Get("X-Count"); got != "6" {
				t.Errorf("the caller got trailer %q", got)
			}
			if res.Header["Date"] != nil {
				t.Errorf("a Date was made up: %q", res.Header["Date"])
			}
			want := seen{"HTTP/1.1", "POST", target, "shop.example", "hello you", "b|a", "9"}
			if v.leg {
				want.Proto = "HTTP/2.0"
			}
			x := r.next()
			for range 2 {
				if diff := cmp.Diff(want, <-saw); diff != "" {
					t.Errorf("a leg saw another request (-want +got):\n%s", diff)
				}
			}
			for _, c := range []*parallax.Call{x.Legs[0], x.Legs[1]} {
				if diff := cmp.Diff([]parallax.Field{{Name: "X-Count", Value: "6"}}, c.Response.Trailers); diff != "" || c.Request.Proto != want.Proto {
					t.Errorf("the exchange says %s, trailers (-want +got):\n%s", c.Request.Proto, diff)
				}
			}
		})
	}
}
