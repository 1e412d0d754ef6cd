package ui

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Bounds of sessions. They are in memory: a restart ends them all.
const (
	sessionTime      = 12 * time.Hour
	maxSessions      = 1024
	sessionsOfHolder = 16
)

// sessions are the browsers that were let in. Each remembers its token, and the door is asked about it again at every
// request, so that a session ends with its token.
type sessions struct {
	mu sync.Mutex // for all below
	of map[sessionKey]session
}

// sessionKey is the hash of a session's id: how long a look-up takes says nothing about an id.
type sessionKey [sha256.Size]byte

type session struct {
	token, name string // name is that of the holder, when the session began
	until       time.Time
}

func keyOf(id string) sessionKey { return sha256.Sum256([]byte(id)) }

// begin returns the id of a new session. Where there are too many, those that end first make room: of the same holder
// first, so that one of them pushes nobody else out.
func (s *sessions) begin(token, name string, now time.Time) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[sessionKey]session{}
	}
	maps.DeleteFunc(s.of, func(_ sessionKey, x session) bool { return !now.Before(x.until) })
	s.keep(sessionsOfHolder-1, func(x session) bool { return x.name == name })
	s.keep(maxSessions-1, func(session) bool { return true })
	s.of[keyOf(id)] = session{token: token, name: name, until: now.Add(sessionTime)}
	return id
}

// keep ends the oldest of some sessions until no more than n are left. It takes the lock as held.
func (s *sessions) keep(n int, of func(session) bool) {
	var keys []sessionKey
	for key, x := range s.of {
		if of(x) {
			keys = append(keys, key)
		}
	}
	if len(keys) <= n {
		return
	}
	slices.SortFunc(keys, func(a, b sessionKey) int { return s.of[a].until.Compare(s.of[b].until) })
	for _, key := range keys[:len(keys)-n] {
		delete(s.of, key)
	}
}

// token returns the token of a session that is in force.
func (s *sessions) token(id string, now time.Time) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, there := s.of[keyOf(id)]
	return x.token, there && now.Before(x.until)
}

// end ends a session, if there is one.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, keyOf(id))
}

// The names of the cookie. A browser takes the first over TLS alone, and from no other host of the same domain.
const (
	safeCookie  = "__Host-parallax"
	plainCookie = "parallax"
)

func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return safeCookie
	}
	return plainCookie
}

// cookie is what a browser keeps of a session: no other site has it sent, and no script reads it.
func cookie(r *http.Request, id string, age time.Duration) *http.Cookie {
	c := &http.Cookie{Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil, MaxAge: int(age / time.Second)}
	if id == "" {
		c.MaxAge = -1
	}
	return c
}

// sessionID returns the id that a browser sent, empty for none.
func sessionID(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}
