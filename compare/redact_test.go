package compare

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/body"
)

func redactor(t testing.TB, cfg RedactConfig) *Redactor {
	t.Helper()
	r, faults := NewRedactor([]byte("a key of this test"), cfg)
	for _, f := range faults {
		t.Fatal(f)
	}
	return r
}

// canary is a secret that must appear nowhere. Each place has its own.
func canary(n int) string { return fmt.Sprintf("cAnArY-%03d-zZ", n) }

// leak returns where a text holds a canary, plain or coded; -1 if nowhere.
func leak(text string) int {
	for _, form := range []string{"cAnArY-", "cAnArY%2D", base64.StdEncoding.EncodeToString([]byte("u:cAnArY-"))[:12]} {
		if i := strings.Index(text, form); i >= 0 {
			return i
		}
	}
	return -1
}

// TestNoSecretIsStored puts a secret into every place it may stand in and looks
// for it in what is left.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	call := secretCall(t)
	other := secretCall(t)
	other.Response.Headers = append(other.Response.Headers, parallax.Field{Name: "Set-Cookie", Value: "other=" + canary(90)})
	for _, n := range []int{2, 3, 9} {
		other.Response.Body.Bytes = bytes.ReplaceAll(other.Response.Body.Bytes, []byte(canary(n)), []byte(canary(n+90)))
	}
	x := exchange(call, other)
	r := redactor(t, RedactConfig{Headers: []string{"X-Inner"}, Paths: []string{"$.people[*].email"}})
	c := Compare(x, Input{})
	if len(c.Differences) != 4 {
		t.Fatalf("only %v differ", c.Differences)
	}
	// Headers and bodies are bytes: written out so that they can be searched.
	clean := fmt.Sprintf("%s\n%+v", dump(t, r.Exchange(x)), r.Comparison(x, c))
	if i := leak(clean); i >= 0 {
		t.Errorf("a secret is left: ...%.120s", clean[max(0, i-60):])
	}
	if leak(dump(t, x)) < 0 {
		t.Error("the exchange itself was changed")
	}
}

func secretCall(t testing.TB) *parallax.Call {
	form := "user=al&password=" + canary(1) + "&card=4111+1111+1111+1111"
	content, err := json.Marshal(map[string]any{
		"token": canary(2), "nested": map[string]any{"api_key": []any{canary(3), 7}, "note": "Bearer " + canary(4)},
		"echo": canary(5) + " and " + canary(6), "url": "https://u:" + canary(7) + "@host/?access_token=" + canary(8),
		"people": []any{map[string]any{"email": canary(9)}}, "headers": map[string]any{"Authorization": []any{"Bearer " + canary(5)}},
		"message": "password=" + canary(10) + "; retry", "pin": 1234,
	})
	if err != nil {
		t.Fatal(err)
	}
	call := answer(200, string(content), "Content-Type", "application/json",
		"Set-Cookie", "sid="+canary(6)+"; Path=/", "Location", "/next?token="+canary(11), "X-Inner", canary(12), "X-Api-Key", canary(13))
	call.Request = parallax.Request{
		Method: "POST", Target: "/login?api_key=" + canary(14) + "&q=1&X-Amz-Signature=" + canary(15) + "&back=%2F" + canary(5),
		Headers: []parallax.Field{
			{Name: "Authorization", Value: "Bearer " + canary(5)}, {Name: "Cookie", Value: "a=" + canary(16) + "; b=" + canary(17)},
			{Name: "proxy-authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+canary(18)))},
			{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Referer", Value: "https://h/?token=" + canary(19)},
		},
		Body: parallax.Body{Bytes: []byte(form), Size: int64(len(form))},
	}
	call.Err.Text = "cannot dial http://u:" + canary(20) + "@host"
	secret := canary(21)
	call.Effects = []parallax.Effect{{Table: "users", After: []parallax.Column{{Name: "password", Value: &secret}, {Name: "gone"}}}}
	return call
}

// dump writes an exchange so that bytes and pointers can be searched as text.
func dump(t testing.TB, x *parallax.Exchange) string {
	t.Helper()
	out, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(out)
	for _, call := range x.Legs {
		if call != nil {
			fmt.Fprintf(&b, "\n%s\n%s", call.Request.Body.Bytes, call.Response.Body.Bytes)
		}
	}
	return b.String()
}

func TestSecretsInBodies(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{Paths: []string{"$..email"}})
	f := func(name, contentType, content string, cut bool) {
		t.Helper()
		call := answer(200, content, "Content-Type", contentType)
		call.Response.Body.Cut = cut
		clean := string(r.Exchange(exchange(call)).Legs[0].Response.Body.Bytes)
		if i := leak(clean); i >= 0 {
			t.Errorf("%s: left in %s", name, clean)
		}
	}
	s := canary(1)
	f("member", "application/json", `{"password":"`+s+`"}`, false)
	f("no content type", "", `{"password":"`+s+`"}`, false)
	f("wrong content type", "image/png", `{"password":"`+s+`"}`, false)
	f("configured", "application/json", `{"a":[{"email":"`+s+`"}]}`, false)
	f("configured, cut", "application/json", `{"a":[{"email":"`+s+`"},{"b`, true)
	f("cut", "application/json", `{"a":1,"password":"`+s, true)
	f("cut in an array", "application/json", `{"tokens":["`+s+`","`+s+`"],"a":["x","y`, true)
	f("cut in an object", "application/json", `{"token":{"v":"`+s+`","w":[1,"`+s, true)
	f("a bracket too many", "application/json", `{"token":"`+s+`"}]`, false)
	f("escaped name", "application/json", `{"pass\u0077ord":"`+s+`"}`, false)
	f("JSON inside a string", "application/json", `{"raw":"{\"password\":\"`+s+`\"}"}`, false)
	f("lines of JSON", "application/x-ndjson", `{"a":1}`+"\n"+`{"token":"`+s+`"}`, false)
	f("XML", "application/xml", `<login><password>`+s+`</password><t token="`+s+`"/></login>`, false)
	f("HTML form", "text/html", `<input name="csrf_token" value="`+s+`">`, false)
	f("form", "application/x-www-form-urlencoded", `a=1&pass%77ord=`+s, false)
	f("multipart", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n"+s+"\r\n--x--", false)
	part := func(name, content string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n"
	}
	f("multipart with a picture", "multipart/form-data; boundary=x", part("password", s)+part("picture", "\x89PNG\r\n\x1a\n\x00\x00\x00")+"--x--", false)
	f("multipart, picture first", "multipart/form-data; boundary=x", part("picture", "\x89PNG\r\n\x1a\n\x00\x00\x00")+part("user_pass", s)+"--x--", false)
	f("multipart of many lines", "multipart/form-data; boundary=x", part("private_key", "begin\r\n"+s+"\r\nend")+"--x--", false)
	f("multipart without a type", "", part("picture", "\x00")+part("password", s)+"--x--", false)
	f("JSON in a part", "multipart/form-data; boundary=x", part("data", `{"pass\u0077ord":"`+s+`"}`)+part("picture", "\x00")+"--x--", false)
	f("text with a zero byte", "text/plain", "password="+s+" \x00", false)
	for _, name := range []string{"X-Auth", "X-Auth-Key", "user_pass", "password_confirmation", "api_keys", "secrets", "session_key", "connect.sid", "laravel_session"} {
		f(name, "application/json", `{"`+name+`":"`+s+`"}`, false)
		f(name+" in a text", "text/plain", name+"="+s, false)
	}
	f("text", "text/plain", "login with api-key: "+s+" now", false)
	f("quoted text", "text/plain", `secret = "`+s+` and more `+s+`"`, false)
	f("escaped quote", "text/plain", `password="ab\"`+s+`"`, false)
	f("escaped quote in JSON in a string", "application/json", `{"raw":"{\"password\":\"a\\\"`+s+`\"}"}`, false)
	f("JWT", "text/plain", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.cAnArY-sig", false)
}

// Wherever a document is cut, what is left of its secrets is not stored.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{Paths: []string{"$..email"}})
	whole := `{"id":1,"password":"` + canary(1) + `","list":[{"email":"` + canary(2) + `","tokens":["` + canary(3) + `",{"x":"` + canary(4) + `"}]}],"raw":"token=` + canary(5) + `"}`
	for cutAt := range len(whole) {
		clean := string(r.Exchange(exchange(cutBody(jsonAnswer(whole), cutAt))).Legs[0].Response.Body.Bytes)
		if leak(clean) >= 0 {
			t.Fatalf("cut at %d: %s", cutAt, clean)
		}
	}
}

// FuzzRedact: nothing makes redaction panic.
func FuzzRedact(f *testing.F) {
	f.Add(`{"password":"abcdefgh","x":["4111111111111111"]}`, "a=b; c=d", "/x?token=abcdefgh")
	f.Add(`<password>abcdefgh</password><input name=pin value=1>`, "Bearer abcdefgh", "http://u:p@h/")
	r := redactor(f, RedactConfig{Paths: []string{"$..email"}})
	f.Fuzz(func(t *testing.T, content, value, target string) {
		call := answer(200, content, "Set-Cookie", value, "X", value)
		call.Request.Target = target
		r.Exchange(exchange(call))
	})
}

func TestRedactionKeepsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	f := func(contentType, content string) {
		t.Helper()
		x := exchange(answer(200, content, "Content-Type", contentType, "X-Region", "eu"))
		if diff := cmp.Diff(x, r.Exchange(x)); diff != "" {
			t.Error(diff)
		}
	}
	f("application/json", `{"id":9007199254740993,"at":1763720000000,"name":"al","token":null,"password":"","ok":true}`)
	f("text/plain", "tokens are fine, and so is path=/a/b or key: value")
	f("image/png", "\x89PNG\x00\x00password=abcdef")
	f("text/html", "<a href=\"https://example.org/?page=2\">next</a>")
}

func TestCardNumbers(t *testing.T) {
	t.Parallel()
	f := func(number string, want bool) {
		t.Helper()
		x := exchange(jsonAnswer(`{"a":"` + number + `"}`))
		if got := !bytes.Contains(redactor(t, RedactConfig{}).Exchange(x).Legs[0].Response.Body.Bytes, []byte(number)); got != want {
			t.Errorf("%s redacted: %t, want %t", number, got, want)
		}
	}
	f("4111111111111111", true)
	f("4111 1111 1111 1111", true)
	f("5500-0000-0000-0004", true)
	f("378282246310005", true)
	f("4111111111111112", false) // wrong checksum
	f("1763720000000", false)    // milliseconds
	f("41111111111111111111111", false)
}

func TestEqualStaysEqual(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	other, _ := NewRedactor([]byte("another key"), RedactConfig{})
	clean := func(r *Redactor, secret string) string {
		return string(r.Exchange(exchange(jsonAnswer(`{"token":"` + secret + `"}`))).Legs[0].Response.Body.Bytes)
	}
	one, again, two := clean(r, "one-token"), clean(r, "one-token"), clean(r, "two-token")
	if one != again || one == two {
		t.Errorf("equal secrets must have equal tokens, different ones different tokens: %s, %s, %s", one, again, two)
	}
	if clean(r, "one-token") == clean(other, "one-token") {
		t.Error("the key does not matter")
	}
	twice := r.Exchange(r.Exchange(exchange(jsonAnswer(`{"token":"one-token"}`))))
	if got := string(twice.Legs[0].Response.Body.Bytes); got != clean(r, "one-token") {
		t.Errorf("redacted twice it is %s", got)
	}
}

func TestCodedBodiesAreStoredDecoded(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	coded := func(text string) *parallax.Call {
		return answer(200, gzipped(t, text), "Content-Type", "application/json", "Content-Encoding", "gzip")
	}
	got := r.Exchange(exchange(coded(`{"a":1,"token":"`+canary(1)+`"}`), coded(`{"a":1}`), cutBody(coded(`{"a":1}`), 20)))
	first, second, third := got.Legs[0].Response, got.Legs[1].Response, got.Legs[2].Response
	if _, err := body.ParseJSON(first.Body.Bytes, body.DefaultLimits); err != nil || leak(string(first.Body.Bytes)) >= 0 {
		t.Errorf("stored %q: %v", first.Body.Bytes, err)
	}
	if header(first.Headers, "content-encoding") != "" || header(first.Headers, wasEncoded) != "gzip" {
		t.Errorf("headers %v", first.Headers)
	}
	if header(second.Headers, "content-encoding") != "gzip" {
		t.Error("a body without secrets was changed")
	}
	if string(third.Body.Bytes) != removedNote {
		t.Errorf("a cut gzip body was kept: %q", third.Body.Bytes)
	}
}

func TestNewRedactorReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, got := NewRedactor(nil, RedactConfig{Headers: []string{"ok", "not ok"}, Paths: []string{"$.a", "a", "$[-1]"}})
	want := []parallax.Fault{
		{Text: "redaction needs a key"},
		{Path: "headers[1]", Text: `"not ok" is not the name of a header`},
		{Path: "paths[1]", Text: "column 1: a path begins with $", Hint: "write a path such as $..email"},
		{Path: "paths[2]", Text: "places to redact are not counted from the end", Hint: "write [*]"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEchoOfASecretInAnySpelling: a key of the request comes back escaped.
func TestEchoOfASecretInAnySpelling(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	const key = `abcd/efgh+ijkl<mnop"qrst&uvwx`
	f := func(contentType, content string) {
		t.Helper()
		call := answer(200, content, "Content-Type", contentType)
		call.Request.Headers = []parallax.Field{{Name: "X-Api-Key", Value: key}}
		clean := string(r.Exchange(exchange(call)).Legs[0].Response.Body.Bytes)
		if strings.Contains(clean, "efgh") || strings.Contains(clean, "qrst") {
			t.Errorf("left in %s", clean)
		}
	}
	for _, spelled := range []string{
		`abcd/efgh+ijkl<mnop\"qrst&uvwx`, `abcd\/efgh+ijkl<mnop\"qrst&uvwx`, `abcd\/efgh+ijkl\u003cmnop\"qrst\u0026uvwx`,
		`abcd\/efgh+ijkl\u003Cmnop\"qrst\u0026uvwx`, `abcd\u002fefgh\u002Bijkl<mnop\u0022qrst&uvwx`,
	} {
		f("application/json", `{"seen":"`+spelled+`"}`)
		f("application/json", `["`+spelled+`"]`)
	}
	f("application/x-ndjson", `{"a":1}`+"\n"+`{"seen":"abcd\/efgh+ijkl\u003cmnop\"qrst\u0026uvwx"}`)
	f("text/plain", "seen abcd%2fefgh%2bijkl%3cmnop%22qrst%26uvwx")
	f("text/html", "<p>abcd/efgh+ijkl&lt;mnop&#34;qrst&amp;uvwx</p>")
	x := exchange(jsonAnswer(`{"seen":1}`), jsonAnswer(`{"seen":"abcd\/efgh+ijkl\u003Cmnop\"qrst\u0026uvwx"}`))
	x.Legs[0].Request.Headers = []parallax.Field{{Name: "X-Api-Key", Value: key}}
	if got := fmt.Sprint(r.Comparison(x, Compare(x, Input{}))); strings.Contains(got, "efgh") {
		t.Errorf("left in %s", got)
	}
}

// TestCutInsideASecret: a difference keeps the beginning of a value, which may end
// anywhere in a secret.
func TestCutInsideASecret(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	const key = "kEyOfTeSt-0123456789-0123456789-0123456789-0123456789"
	for at := maxValueBytes - len(key) - 2; at <= maxValueBytes+2; at += 3 {
		line := strings.Repeat("x", at) + key + " end"
		for name, x := range map[string]*parallax.Exchange{
			"text":   exchange(answer(200, line, "Content-Type", "text/plain"), answer(200, "y", "Content-Type", "text/plain")),
			"JSON":   exchange(jsonAnswer(`{"a":"`+line+`"}`), jsonAnswer(`{"a":1}`)),
			"body":   exchange(cutBody(answer(200, line, "Content-Type", "text/plain"), at+5), answer(200, "")),
			"header": exchange(answer(200, "", "X-Seen", line), answer(200, "")),
		} {
			x.Legs[0].Request.Headers = []parallax.Field{{Name: "X-Api-Key", Value: key}}
			if got := dump(t, r.Exchange(x)) + fmt.Sprint(r.Comparison(x, Compare(x, Input{})).Differences); strings.Contains(got, "kEy") {
				t.Fatalf("%s, cut at byte %d: ...%s", name, at, got[max(0, len(got)-120):])
			}
		}
	}
}

func TestBothIsExchangeAndComparison(t *testing.T) {
	t.Parallel()
	x := exchange(jsonAnswer(`{"token":"one-token"}`), jsonAnswer(`{"token":"two-token"}`))
	r, c := redactor(t, RedactConfig{}), Compare(x, Input{})
	gotX, gotC := r.Both(x, c)
	if diff := cmp.Diff(r.Exchange(x), gotX); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(r.Comparison(x, c), gotC); diff != "" {
		t.Error(diff)
	}
}

// TestStoredBodiesAreHashed: a body that came without its hash is stored as if it
// had come with it.
func TestStoredBodiesAreHashed(t *testing.T) {
	t.Parallel()
	r := redactor(t, RedactConfig{})
	for _, content := range []string{`{"a":1}`, `{"password":"` + canary(1) + `"}`} {
		with, without := jsonAnswer(content), jsonAnswer(content)
		without.Response.Body.SHA256 = [32]byte{}
		if diff := cmp.Diff(r.Exchange(exchange(with)), r.Exchange(exchange(without))); diff != "" {
			t.Errorf("%s: (-with hash +without)\n%s", content, diff)
		}
		if without.Response.Body.SHA256 != [32]byte{} {
			t.Errorf("%s: the exchange itself was changed", content)
		}
	}
}
