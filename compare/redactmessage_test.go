package compare

import (
	"bytes"
	"strings"
	"testing"

	"parallax"
)

const loginProto = `syntax = "proto3";
package shop;
message Key { int64 id = 1; }
message Login { int64 id = 1; string password = 2; bytes token = 3; string note = 4; }
service Logins { rpc Get(Key) returns (Login); rpc Check(Login) returns (Login); }
`

// Secrets in messages are found by name as they are in JSON, compressed or not, and
// what is stored compares as the messages did.
func TestMessagesAreRedacted(t *testing.T) {
	t.Parallel()
	c := compileProto(t, loginProto, "POST /shop.Logins/Get")
	x := &parallax.Exchange{Endpoint: "POST /shop.Logins/Get", Received: testTime}
	x.Legs[parallax.Primary] = c.call(t, "grpc", `id: 1 password: "hunter2" token: "hunter2" note: "4111 1111 1111 1111"`)
	x.Legs[parallax.Candidate] = c.call(t, "grpc.gz", `id: 2 password: "hunter2" token: "hunter2" note: "4111 1111 1111 1111"`)
	in := Input{Rules: (*Rules)(nil).WithMessages(c.known)}
	before := Compare(x, in)
	r, _ := NewRedactor([]byte("key"), RedactConfig{})
	stored, _ := r.WithMessages(c.known).Both(x, before)
	for leg, call := range stored.Legs {
		if call != nil && (bytes.Contains(call.Response.Body.Bytes, []byte("hunter2")) || bytes.Contains(call.Response.Body.Bytes, []byte("4111"))) {
			t.Errorf("leg %d is stored as %q", leg, call.Response.Body.Bytes)
		}
	}
	if got, want := found(Compare(stored, in)), found(before); got != want || !strings.HasPrefix(got, "$.id  changed  1 -> 2") {
		t.Errorf("as it was: %s\nas it is stored: %s", want, got)
	}
}

// A request is stored as it came if there is no secret in it, so that it can be
// asked again.
func TestRequestsOfMessagesAreRedacted(t *testing.T) {
	t.Parallel()
	c := compileProto(t, loginProto, "POST /shop.Logins/Check")
	r, _ := NewRedactor([]byte("key"), RedactConfig{})
	stored := func(message string) (before []byte, after *parallax.Request) {
		x := &parallax.Exchange{Endpoint: "POST /shop.Logins/Check", Received: testTime}
		call := c.call(t, "grpc", message)
		call.Request = parallax.Request{Method: "POST", Target: "/shop.Logins/Check", Headers: call.Response.Headers, Body: call.Response.Body}
		x.Legs[parallax.Primary] = call
		return call.Request.Body.Bytes, &r.WithMessages(c.known).Exchange(x).Legs[parallax.Primary].Request
	}
	if before, after := stored(`id: 1`); !bytes.Equal(before, after.Body.Bytes) || StoredAsTree(after.Headers) {
		t.Errorf("stored as %q", after.Body.Bytes)
	}
	if _, after := stored(`password: "hunter2"`); bytes.Contains(after.Body.Bytes, []byte("hunter2")) || !StoredAsTree(after.Headers) {
		t.Errorf("stored as %q", after.Body.Bytes)
	}
}
