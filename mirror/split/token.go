package split

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Bounds of what is read of a token.
const (
	maxToken = 16 << 10 // bytes, as it stands in the request
	maxClaim = 128      // bytes of a claim's name
)

// parseClaim reads what follows jwt: in the key text: a claim, and perhaps where
// the token stands. A claim's name may hold colons, and an @ that no place follows.
func parseClaim(text, rest string) (Key, error) {
	k := Key{from: fromHeader, name: "Authorization", claim: rest}
	if at := max(strings.LastIndex(rest, "@header:"), strings.LastIndex(rest, "@cookie:")); at >= 0 {
		place, err := ParseKey(rest[at+1:])
		if err != nil {
			return Key{}, fmt.Errorf("cannot read %q as the key of users", text)
		}
		k.from, k.name, k.claim = place.from, place.name, rest[:at]
	}
	if k.claim == "" || len(k.claim) > maxClaim {
		return Key{}, fmt.Errorf("cannot read %q as the key of users", text)
	}
	return k, nil
}

// claimOf returns a claim of a JSON Web Token (RFC 7519), "" when there is none
// that is a string or a number; a number is taken as it is spelled. The word Bearer
// before the token is skipped. The signature is not looked at: the name decides
// between two versions of the same service, which check it themselves, so whoever
// forges a token has no more than chosen a bucket.
func claimOf(token, claim string) string {
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return ""
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return ""
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(text, &claims) != nil {
		return ""
	}
	var name string
	var number json.Number
	switch value := claims[claim]; {
	case len(value) == 0:
	case value[0] == '"':
		_ = json.Unmarshal(value, &name) // part of what was read already
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		_ = json.Unmarshal(value, &number)
	}
	return name + number.String()
}
