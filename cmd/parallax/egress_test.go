package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/internal/rig"
)

// mailing is a version of a shop that mails what is ordered, through a proxy.
type mailing struct {
	*httptest.Server
	proxy atomic.Pointer[url.URL]
}

// newMailing returns a version that is the leg; it sends each mail a number of times.
func newMailing(t *testing.T, mail string, times int) *mailing {
	t.Helper()
	m := &mailing{}
	transport := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return m.proxy.Load(), nil }}
	t.Cleanup(transport.CloseIdleConnections)
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range times {
			out, err := http.NewRequestWithContext(r.Context(), "POST", mail, strings.NewReader(`{"to":"ann"}`))
			if err != nil {
				t.Error(err)
				return
			}
			for _, name := range []string{"Baggage", "Traceparent", "X-Parallax-Exchange"} {
				out.Header[name] = r.Header[name]
			}
			if answer, err := transport.RoundTrip(out); err == nil {
				answer.Body.Close()
			}
		}
		fmt.Fprint(w, "ordered")
	}))
	t.Cleanup(m.Close)
	return m
}

// through points a version at the proxy.
func (m *mailing) through(leg, address string) {
	m.proxy.Store(&url.URL{Scheme: "http", Host: address, User: url.User(leg)})
}

// TestEgress has both versions mail through the proxy of a running Parallax, over a
// reload and a restart.
func TestEgress(t *testing.T) {
	t.Parallel()
	var mails atomic.Int64
	mail := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mails.Add(1)
	}))
	t.Cleanup(mail.Close)
	host := strings.TrimPrefix(mail.URL, "http://")
	old, new := newMailing(t, mail.URL, 1), newMailing(t, mail.URL, 2)

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fixed := free.Addr().String()
	free.Close()
	with := func(listen, allow string) string {
		return shopConfig(old.URL, new.URL, fmt.Sprintf("  egress: { listen: %q, allow: [%s] }\n", listen, allow))
	}
	liveOnly := fmt.Sprintf("{ host: %q, live_only: true, as: mails }", host)
	dir := t.TempDir()
	p := rig.StartIn(t, dir, with("127.0.0.1:0", liveOnly))
	old.through("primary", p.Egress["shop"])
	new.through("candidate", p.Egress["shop"])

	counted := func(what string, leg, role, result string, n int) {
		t.Helper()
		line := fmt.Sprintf(`parallax_egress_calls_total{leg=%q,result=%q,role=%q,service="shop"} %d`, leg, result, role, n)
		rig.Eventually(t, what, func() error {
			if !strings.Contains(get(t, p.Admin+"/metrics"), line) {
				return fmt.Errorf("there is no %s", line)
			}
			return nil
		})
	}
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() { call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200) })
	}
	all.Wait()
	counted("mails of the live leg", "primary", "live", "sent", 5)
	counted("mails of the shadow", "candidate", "shadow", "refused", 10)
	if !strings.Contains(get(t, p.Admin+"/metrics"), `parallax_egress_attributed_total{by="mark",leg="candidate",service="shop"} 10`) {
		t.Error("the shadow's calls are not known by their marks")
	}
	if n := mails.Load(); n != 5 {
		t.Errorf("%d mails were sent, want 5", n)
	}
	if !strings.Contains(p.Log(), "a call was not let out") {
		t.Error("the log does not say what was refused")
	}

	// The shadow may mail from now on, through another address.
	rewrite(t, dir, with(fixed, fmt.Sprintf("%q", host)))
	changes := strings.Join(reload(t, p, 200).Changes, "\n")
	for _, want := range []string{"egress.listen", "egress.allow", "calls of its legs are taken on " + fixed} {
		if !strings.Contains(changes, want) {
			t.Errorf("changes\n%s\nlack %q", changes, want)
		}
	}
	if strings.Contains(changes, "effects") {
		t.Errorf("changes\n%s\nname effects, which are as they were", changes)
	}
	refused(t, p.Egress["shop"])
	old.through("primary", fixed)
	new.through("candidate", fixed)
	call(t, p, "GET", "/orders/6", "", 200)
	counted("mails of the shadow", "candidate", "shadow", "sent", 2)

	p.Restart()
	call(t, p, "GET", "/orders/7", "", 200)
	rig.Eventually(t, "mails after the restart", func() error {
		if n := mails.Load(); n != 5+3+3 {
			return fmt.Errorf("%d mails were sent", n)
		}
		return nil
	})

	rewrite(t, dir, shopConfig(old.URL, new.URL, ""))
	if changes := reload(t, p, 200).Changes; !strings.Contains(strings.Join(changes, "\n"), "calls of its legs are taken no more") {
		t.Errorf("changes %q", changes)
	}
	refused(t, fixed)
}

// TestEgressFaults lists what is wrong with the block.
func TestEgressFaults(t *testing.T) {
	t.Parallel()
	_, faults := parseConfig("p.yaml", []byte(`
admin: { listen: "127.0.0.1:7070" }
services:
- name: shop
  listen: "127.0.0.1:8080"
  primary: { urls: ["http://127.0.0.1:9001"] }
  candidate: { urls: ["http://127.0.0.1:9002"] }
  egress: { listen: "127.0.0.1:8080", allow: ["mail.example", "http://mail.example"], live: closed }
- name: cart
  listen: "127.0.0.1:8081"
  primary: { urls: ["http://127.0.0.1:9001"] }
  egress: { listen: "127.0.0.1:7070", alow: [] }
`))
	var text strings.Builder
	printFaults(&text, faults)
	for _, want := range []string{
		`services[0].egress.listen: "127.0.0.1:8080" is taken by services[0].listen`, `services[0].egress.allow[1]: "http://mail.example"`, `services[0].egress.live`,
		`services[1].egress.listen: "127.0.0.1:7070" is taken by admin.listen`, `did you mean "allow"?`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the faults\n%s\nlack %q", text.String(), want)
		}
	}
}

// TestTheDoubleMailIsAnIssue has a candidate that mails twice, and no database is read.
func TestTheDoubleMailIsAnIssue(t *testing.T) {
	t.Parallel()
	mail := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	t.Cleanup(mail.Close)
	for _, version := range []struct {
		mails int
		want  []string
	}{{1, nil}, {2, []string{"effects:mails extra"}}} {
		old, new := newMailing(t, mail.URL, 1), newMailing(t, mail.URL, version.mails)
		p := rig.Start(t, shopConfig(old.URL, new.URL, fmt.Sprintf(`  effects: { settle: 200ms }
  egress: { listen: "127.0.0.1:0", allow: [{ host: %q, live_only: true, as: mails }] }
`, strings.TrimPrefix(mail.URL, "http://"))))
		old.through("primary", p.Egress["shop"])
		new.through("candidate", p.Egress["shop"])
		untilRead(t, p)
		const n = 20
		for i := range n {
			call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
		}
		r := settled(t, p, n)
		if e := endpoint(t, r, "GET /orders/{id}"); e.Matched+e.Diverged != n || (e.Diverged == n) != (version.mails == 2) {
			t.Errorf("with %d mails an order %d match and %d diverged; not comparable: %v", version.mails, e.Matched, e.Diverged, e.NotComparableReasons)
		}
		var issues []divergence.Issue
		if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range issues {
			got = append(got, fmt.Sprint(i.Path, " ", i.Kind))
		}
		if d := cmp.Diff(version.want, got); d != "" {
			t.Errorf("issues with %d mails an order (-want +got):\n%s", version.mails, d)
		}
		p.Stop()
	}
}
