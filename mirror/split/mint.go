package split

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"parallax"
)

// Bounds of split.mint. Browsers keep no cookie longer than 400 days.
const (
	minMint = time.Minute
	maxMint = 400 * 24 * time.Hour
)

// validateMint returns what is wrong with minting cookies.
func (c Config) validateMint() []parallax.Fault {
	switch {
	case c.Mint == 0:
		return nil
	case !strings.HasPrefix(c.Key, "cookie:"):
		return []parallax.Fault{{Path: "mint", Text: "cookies are minted, but users are not told by one", Hint: "write key: cookie:NAME, or leave mint out"}}
	case c.Mint < minMint || c.Mint > maxMint:
		return []parallax.Fault{{Path: "mint", Text: fmt.Sprintf("%s is not between %s and %s", c.Mint, minMint, maxMint), Hint: "write 4320h, which is half a year"}}
	}
	return nil
}

// Mints reports whether callers whom nothing names are given a cookie.
func (s *Splitter) Mints() bool { return s.mint > 0 }

// Cookie is the Set-Cookie field that gives a user a name from now on, for callers
// who speak TLS or do not. It is for the answers of callers, whatever leg they came
// from, and for no script.
func (s *Splitter) Cookie(user string, tls bool) parallax.Field {
	value := s.key.name + "=" + user + "; Path=/; Max-Age=" + strconv.FormatInt(int64(s.mint/time.Second), 10) + "; HttpOnly; SameSite=Lax"
	if tls {
		value += "; Secure"
	}
	return parallax.Field{Name: "Set-Cookie", Value: value}
}

// Names reports whether the header fields of an answer give the user a name
// already: then it is the service that names its users.
func (s *Splitter) Names(headers []parallax.Field) bool {
	for _, h := range headers {
		if !strings.EqualFold(h.Name, "Set-Cookie") {
			continue
		}
		if name, _, _ := strings.Cut(h.Value, "="); strings.TrimSpace(name) == s.key.name {
			return true
		}
	}
	return false
}

// IsKey reports whether a key is that of the users who are split.
func (s *Splitter) IsKey(k Key) bool { return s.key == k }
