package mirror_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/split"
)

// minting is a service whose callers are given a cookie.
func minting(t *testing.T) *rig {
	t.Helper()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, "primary"))), mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, "candidate")))
	cfg := pair(primary.URL, candidate.URL, mirror.None)
	cfg.Split = split.Config{Key: "cookie:px", Mint: time.Hour, Salt: "orders"}
	return start(t, cfg)
}

func TestMintedUserHoldsForThatVeryRequest(t *testing.T) {
	t.Parallel()
	r := minting(t)
	r.Mirror.Split().SetStep(5000)
	legs := map[string]int{}
	for range 64 {
		first, leg := r.do("GET", "/orders/1", "")
		cookies := first.Cookies()
		if len(cookies) != 1 || cookies[0].Name != "px" || !cookies[0].HttpOnly || cookies[0].Secure || cookies[0].Path != "/" || cookies[0].SameSite != http.SameSiteLaxMode {
			t.Fatalf("the caller was given %v", first.Header["Set-Cookie"])
		}
		x := r.next()
		if want := []string{"primary", "candidate"}[inSplit(cookies[0].Value, 5000)]; leg != want || x.Live.String() != want {
			t.Fatalf("the first request was answered by the %s, and its user's leg is the %s", leg, want)
		}
		again, other := r.do("GET", "/orders/1", "", "Cookie: a=b; px="+cookies[0].Value)
		if other != leg || len(again.Header["Set-Cookie"]) != 0 {
			t.Fatalf("the %s, then the %s with %v", leg, other, again.Header["Set-Cookie"])
		}
		if y := r.next(); x.User != y.User || x.User == (parallax.Exchange{}).User {
			t.Fatal("the first request is another user's than the second")
		}
		for _, c := range x.Legs {
			if c != nil && fieldNamed(c.Response.Headers, "Set-Cookie") {
				t.Fatal("the cookie is in what is compared")
			}
		}
		legs[leg]++
	}
	if legs["primary"] == 0 || legs["candidate"] == 0 {
		t.Errorf("64 callers without a cookie at step 5000: %v", legs)
	}
}

func TestMintedCookieIsSecureBehindTLS(t *testing.T) {
	t.Parallel()
	r := minting(t)
	res, _ := r.do("GET", "/orders/1", "", "X-Forwarded-Proto: https")
	if c := res.Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("behind a proxy that speaks TLS the caller was given %v", res.Header["Set-Cookie"])
	}
}

func TestServicesOwnCookieIsNotReplaced(t *testing.T) {
	t.Parallel()
	own := mirrortest.NewBackend(t, mirrortest.Raw([]byte("HTTP/1.1 200 OK\r\nSet-Cookie: px=mine; Path=/\r\nContent-Length: 2\r\n\r\nhi")))
	cfg := pair(own.URL, own.URL, mirror.None)
	cfg.Split = split.Config{Key: "cookie:px", Mint: time.Hour}
	r := start(t, cfg)
	if res, _ := r.do("GET", "/orders/1", ""); strings.Join(res.Header["Set-Cookie"], "|") != "px=mine; Path=/" {
		t.Errorf("the caller was given %v", res.Header["Set-Cookie"])
	}
}

func inSplit(user string, step int) int {
	if split.Bucket("orders", user) < step {
		return 1
	}
	return 0
}

func fieldNamed(fields []parallax.Field, name string) bool {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}
