package mirror

import (
	"fmt"
	"testing"

	"parallax"
)

func TestRequestsThatLookLikeActs(t *testing.T) {
	t.Parallel()
	f := func(endpoint, target string, want bool) {
		t.Helper()
		if why := judge(endpoint).of(target); (why != "") != want {
			t.Errorf("%s at %s: %q, want suspicious: %t", endpoint, target, why, want)
		}
	}
	r, err := newRouter(nil, DefaultEndpoints, func(name string, _ bool) *endpoint { return &endpoint{name: name} })
	if err != nil {
		t.Fatal(err)
	}
	act := func(target string) { t.Helper(); f(r.find("GET", target).name, target, true) }
	plain := func(target string) { t.Helper(); f(r.find("GET", target).name, target, false) }

	act("/logout")
	act("/Account/Log-Out")
	act("/users/sign_out")
	act("/logout.php")
	act("/oauth/callback?code=x&state=y")
	act("/auth/google/callback")
	act("/signin-oidc")
	act("/any/path?code=4%2F0Ab&state=af0if")
	act("/?oauth_token=a&oauth_verifier=b")
	act("/x?ticket=ST-1856339")
	act("/confirm/8f14e45fceea167a")
	act("/orders/17/confirm")
	act("/email/verify/12345678-1234-1234-1234-123456789abc")
	act("/activate?key=1")
	act("/newsletter/unsubscribe")
	act("/opt-out")
	act("/%75nsubscribe")
	act("/password/reset/0123456789abcdef0123456789")
	act("/reset-password?token=abc")
	act("/login/0123456789abcdef0123456789")
	act("/magic-link/abc")
	act("/items/17/delete")
	act("/delete/17")
	act("/items/remove")
	act("/orders/17/cancel")
	act("/orders/17:cancel")
	act("/cart/add/17")
	act("/checkout/paypal/return?PayerID=1")
	act("/payment/success")
	act("/thanks?payment_intent=pi_1&redirect_status=succeeded")
	act("/index.php?action=logout")
	act("/admin?do=delete&id=4")
	act("/items/17?_method=DELETE")
	act("/mail?unsubscribe=1")
	act("/jobs/17/trigger")
	act("/admin/impersonate/17")
	act("/invitations/join/0123456789abcdef0123456789")

	act("/logout;jsessionid=0A1B.node1")
	act("/users/sign_out.json")
	act("/orders/17/cancel.xml")
	act("/orders/17/cancel/.")
	act("/api/chat.delete?channel=4")
	act("/delete_item.php?id=4")
	act("/user/deleteUser/4")
	act("/remove-from-list/17")
	act("/orders/17/cancel-order")
	act("/unsubscribe-me/abc")
	act("/index.php?action=deleteUser&id=4")
	act("/index.php?action=log%6Fut")
	act("/cart.php?action=add&id=5")
	act("/users/confirmation?user%5Breset_password_token%5D=abc")
	act("/claim/0123456789abcdef0123456789")
	act("/verification/resend")
	act("/wp-cron.php?doing_wp_cron")
	act("/api/cron/nightly")
	act("/done?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz")
	act("/done?code=42&state=af0ifjsldkj")

	plain("/")
	plain("/magic/cards")
	plain("/magic/17")
	plain("/claim/17")
	plain("/tax?state=CA&code=90210")
	plain("/issues?state=open&code=SAVE10")
	plain("/index.php?action=login")
	plain("/forum?do=register")
	plain("/articles/remove-wine-stains-from-linen")
	plain("/removers/17")
	plain("/Delete-Cookies.pdf")
	plain("/logs/delete-events/2026/all")
	plain("/orders/17")
	plain("/products/confirmation-dialog.js")
	plain("/static/logout.svg")
	plain("/assets/verify/main.css")
	plain("/docs/oauth/callback")
	plain("/blog/how-to-unsubscribe")
	plain("/blog/unsubscribe")
	plain("/orders/17/confirmation")
	plain("/password/reset")
	plain("/login")
	plain("/login?next=/logout")
	plain("/auth/google")
	plain("/auth/17")
	plain("/invitations/17")
	plain("/sessions/17")
	plain("/items?page_token=abc&limit=3")
	plain("/items?next_token=abc")
	plain("/countries?code=DE")
	plain("/addresses?state=CA")
	plain("/tickets?ticket=17")
	plain("/search?q=delete")
	plain("/search?action=search")
	plain("/search?confirm=0")
	plain("/deleted-items")
	plain("/items/removed")
	plain("/cancellations/17")
	plain("/returns/17")
	plain("/success")
	plain("/callback-requests")
	plain("/items/delete/history")
	plain("/shop/add")
	plain("/activation-guide")
	plain("/x?token")
	plain("/x?token=")
	plain("/x?&&=&a")
}

func TestWordsThatTemplatesHide(t *testing.T) {
	t.Parallel()
	f := func(endpoint, target string, want bool) {
		t.Helper()
		if why := judge(endpoint).of(target); (why != "") != want {
			t.Errorf("%s at %s: %q, want suspicious: %t", endpoint, target, why, want)
		}
	}
	f("GET other", "/logout", true)
	f("GET other", "/orders/17", false)
	f("GET /{page}", "/logout", true)
	f("GET /{page}", "/about", false)
	f("GET /files/{rest...}", "/files/17/delete", true)
	f("GET /files/{rest...}", "/files/delete.png", false)
	f("GET /orders/{id}", "/orders/17", false)
	f("GET /users/{id}", "/users/sign_out", true)
	f("GET /users/{userId}/x", "/users/logout/x", true)
	f("GET /users/{id}", "/users/f0000000-0000-0000-0000-000000000000", false)
	f("GET /orders/{orderId}/cancel", "/orders/17/cancel", true)
	f("GET /verify/{token}", "/verify/abc", true)
	f("HEAD /logout", "/logout", true)
	f("OPTIONS /logout", "/logout", false)
	f("POST /logout", "/logout", false) // unsafe by its method already
}

func TestEveryWordOfTheCatalogueCanBeFound(t *testing.T) {
	t.Parallel()
	for word := range acts {
		if got := string(plainWord(nil, word)); got != word {
			t.Errorf("%q is never found: a segment becomes %q", word, got)
		}
	}
	for word, why := range queryCatalogue {
		if got := string(plainWord(nil, word)); got != word || why == "" {
			t.Errorf("%q is never found, or has no reason %q", word, why)
		}
	}
}

func FuzzActs(f *testing.F) {
	f.Add("/logout?code=1&state=2")
	f.Add("/a%2/./%zz//{x}/\xff?&;=&%")
	f.Fuzz(func(t *testing.T, target string) {
		judge("GET other").of(target) // must not panic, whatever it is
		judge("GET " + target)
	})
}

func BenchmarkJudgeRequest(b *testing.B) {
	for _, target := range []string{"/orders/17", "/orders/17?expand=items&page=2"} {
		j := judge("GET /orders/{id}")
		b.Run(fmt.Sprint(len(target), "B"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if j.of(target) != "" {
					b.Fatal("suspicious")
				}
			}
		})
	}
}

func TestHeadersThatAskForAnotherMethod(t *testing.T) {
	t.Parallel()
	f := func(method, name, value string, want bool) {
		t.Helper()
		in := &incoming{Method: method, Headers: []parallax.Field{{Name: "Accept", Value: "*/*"}, {Name: name, Value: value}}}
		if got := asksForAnotherMethod(in); got != want {
			t.Errorf("%s with %s: %s: %t, want %t", method, name, value, got, want)
		}
	}
	f("GET", "X-HTTP-Method-Override", "DELETE", true)
	f("GET", "x-http-method", "put", true)
	f("POST", "X-Method-Override", "PATCH", true)
	f("POST", "X-Method-Override", "POST", false)
	f("POST", "X-HTTP-Method-Override", "GET", false)
	f("GET", "X-HTTP-Method-Overrule", "DELETE", false)
}
