package compare

import (
	"strings"
	"testing"

	"parallax"
)

// TestConfiguredPlacesInEveryFormat: a place that configuration declares secret is
// secret however a body is written, and what is stored in its place compares as the
// bodies did.
func TestConfiguredPlacesInEveryFormat(t *testing.T) {
	t.Parallel()
	r, faults := NewRedactor([]byte("key"), RedactConfig{Paths: []string{"$..mail"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	parts := "--x\r\nContent-Disposition: form-data; name=\"mail\"\r\n\r\nada@example.org\r\n--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x--\r\n"
	for contentType, text := range map[string]string{
		"application/json":                  `{"mail":"ada@example.org","n":1}`,
		"application/x-ndjson":              `{"mail":"ada@example.org"}` + "\n" + `{"n":1}`,
		"text/event-stream":                 "data: {\"mail\":\"ada@example.org\",\"n\":1}\n\n",
		"application/x-www-form-urlencoded": "mail=ada%40example.org&n=1",
		"application/xml":                   "<u><mail>ada@example.org</mail><mail k='1'>ada@example.org</mail><n>1</n></u>",
		"multipart/form-data; boundary=x":   parts,
		"application/xml; charset=utf-16le": "<\x00u\x00/\x00>\x00",
		"text/xml":                          "<u><mail>ada@example.org</u>",
	} {
		x := &parallax.Exchange{Endpoint: "GET /u", Received: testTime}
		x.Legs[parallax.Primary] = answer(200, text, "Content-Type", contentType)
		x.Legs[parallax.Candidate] = answer(200, strings.ReplaceAll(text, "1", "2"), "Content-Type", contentType)
		if contentType == "multipart/form-data; boundary=x" {
			x.Legs[parallax.Candidate] = answer(200, strings.ReplaceAll(text, "\r\n1\r\n", "\r\n2\r\n"), "Content-Type", contentType)
		}
		before := Compare(x, Input{})
		stored, c := r.Both(x, before)
		for leg, call := range stored.Legs {
			if call != nil && strings.Contains(string(call.Response.Body.Bytes), "ada") {
				t.Errorf("%s: leg %d is stored as %s", contentType, leg, call.Response.Body.Bytes)
			}
		}
		for _, d := range c.Differences {
			if strings.Contains(d.Primary+d.Candidate, "ada") {
				t.Errorf("%s: a difference says %v", contentType, d)
			}
		}
		if after := Compare(stored, Input{}); after.Outcome != before.Outcome {
			t.Errorf("%s: %v as it was, %v as it is stored: %v", contentType, before.Outcome, after.Outcome, after.Differences)
		}
	}
}

// TestLongPathsAreCut: names may be as long as a body, and a path is kept for each
// difference. What is below a path that was cut is taken for secret.
func TestLongPathsAreCut(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("x", 100_000)
	x := &parallax.Exchange{Endpoint: "GET /u", Received: testTime}
	x.Legs[parallax.Primary] = answer(200, `{"`+name+`":{"password":["hunter2hunter2"]}}`, "Content-Type", "application/json")
	x.Legs[parallax.Candidate] = answer(200, `{"`+name+`":{"password":["hunter3hunter3"]}}`, "Content-Type", "application/json")
	r, _ := NewRedactor([]byte("key"), RedactConfig{})
	c := Compare(x, Input{})
	if len(c.Differences) != 1 || len(c.Differences[0].Path) > maxPathBytes+len(cutMark) || len(c.Differences[0].Normal) > maxPathBytes+len(cutMark) {
		t.Fatalf("%d differences, or a path that is too long", len(c.Differences))
	}
	_, c = r.Both(x, c)
	if d := c.Differences[0]; strings.Contains(d.Primary+d.Candidate, "hunter") {
		t.Errorf("a secret is kept: %s, %s", d.Primary, d.Candidate)
	}
}
