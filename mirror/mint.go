package mirror

import (
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/mirror/split"
)

// findUser finds who sent the request. A caller whom nothing names is given a name
// where the service mints them; it holds for this request already. Copies of
// requests, and what other services' shadows send, are answered to no caller.
func (f *flight) findUser() string {
	s := f.service.split
	user := s.User(f.in.Headers, f.in.RemoteIP)
	if user != "" || !s.Mints() || f.service.cfg.Tap || f.in.Replayed != nil || f.isShadowCall() {
		return user
	}
	f.minted = f.m.deps.NewID().String()
	return f.minted
}

// gather counts who sent a request that may go live. Shadows of other services are no
// users.
func (f *flight) gather(user string, now time.Time) {
	if !f.isShadowCall() {
		f.service.audience.see(f.service.split, user, f.x.User[0], now)
	}
}

// userBy finds the user of a request by another key of the service's, which may be
// the one that names are minted for.
func (f *flight) userBy(k split.Key) string {
	user := k.User(f.in.Headers, f.in.RemoteIP)
	if user == "" && f.minted != "" && f.service.split.IsKey(k) {
		return f.minted
	}
	return user
}

// named returns the head of a live answer for the caller: with the cookie that was
// minted, if any. What is compared, the leg's own head, is left as it is.
func (f *flight) named(headers []parallax.Field) []parallax.Field {
	if f.minted == "" || f.service.split.Names(headers) {
		return headers
	}
	return append(slices.Clip(headers), f.service.split.Cookie(f.minted, f.overTLS()))
}

// overTLS reports whether the caller speaks TLS, here or to a proxy in front that
// says so. It only decides whether the caller's own cookie is Secure.
func (f *flight) overTLS() bool {
	return f.in.TLS || strings.EqualFold(value(f.in.Headers, "X-Forwarded-Proto"), "https")
}
