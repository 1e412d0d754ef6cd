package compare

import (
	"crypto/sha256"
	"testing"
	"time"

	"parallax"
)

var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// answer makes a call with a complete answer; fields are names and values in
// turn.
func answer(status int, content string, fields ...string) *parallax.Call {
	r := parallax.Response{Status: status, Body: parallax.Body{
		Bytes: []byte(content), Size: int64(len(content)), SHA256: sha256.Sum256([]byte(content)),
	}}
	for i := 0; i < len(fields); i += 2 {
		r.Headers = append(r.Headers, parallax.Field{Name: fields[i], Value: fields[i+1]})
	}
	return &parallax.Call{Response: r}
}

func jsonAnswer(content string) *parallax.Call {
	return answer(200, content, "Content-Type", "application/json")
}

// exchange makes an exchange of up to three calls.
func exchange(calls ...*parallax.Call) *parallax.Exchange {
	x := &parallax.Exchange{Service: "shop", Endpoint: "GET /orders/{id}", Received: testTime}
	copy(x.Legs[:], calls)
	return x
}

// compiled compiles rules that have no fault.
func compiled(t testing.TB, rules ...Rule) *Rules {
	t.Helper()
	r, faults := Compile(rules)
	for _, f := range faults {
		t.Fatal(f)
	}
	return r
}
