package mirror

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func testMask(t *testing.T, places ...string) *mask {
	t.Helper()
	m, faults := newMask(places, newMACs([]byte("key")))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return m
}

func TestMaskKeepsTheShape(t *testing.T) {
	t.Parallel()
	m := testMask(t, "$.a")
	for _, c := range []struct{ value, shape string }{
		{"Ada Lovelace", `^[A-Z][a-z]{2} [A-Z][a-z]{7}$`},
		{"ada@example.org", `^[a-z]{3}@[a-z]{7}\.[a-z]{3}$`},
		{"1815-12-10", `^\d{4}-\d\d-\d\d$`},
		{"", `^$`},
		{strings.Repeat("x", 100), `^[a-z]{100}$`},
	} {
		got := m.value(c.value)
		if !regexp.MustCompile(c.shape).MatchString(got) || got == c.value && got != "" {
			t.Errorf("%q became %q, want the shape %s", c.value, got, c.shape)
		}
		if again := m.value(c.value); again != got {
			t.Errorf("%q became %q, then %q", c.value, got, again)
		}
	}
	if got := m.value("Jürgen"); strings.Contains(got, "ü") {
		t.Errorf("%q shows a letter of the name", got)
	}
	if got := m.number("-120.50e3"); !regexp.MustCompile(`^-[1-9]{3}\.[1-9]{2}e3$`).MatchString(got) {
		t.Errorf("a number became %q", got)
	}
}

// TestMaskedCardsPassTheirChecksum, or every masked payment would be refused by
// the candidate alone.
func TestMaskedCardsPassTheirChecksum(t *testing.T) {
	t.Parallel()
	m := testMask(t, "$.a")
	for _, card := range []string{"4111111111111111", "5500 0000 0000 0004", "3400-000000-00009"} {
		got := m.value(card)
		if n, sum := luhnSum([]byte(got)); sum != 0 || n < leastCard || got == card {
			t.Errorf("%s became %s", card, got)
		}
	}
	if got := m.number("4111111111111111"); got == "4111111111111111" {
		t.Error("a number was not masked")
	}
}

func TestMaskedBodies(t *testing.T) {
	t.Parallel()
	m := testMask(t, "$.card.number", "$..email", "$.items[*].note")
	json := []parallax.Field{{Name: "content-type", Value: "application/json; charset=utf-8"}}
	secret := regexp.MustCompile(`4111|ada|hello`)
	for _, c := range []struct {
		name, text, want string // the text as it is but for what is masked: x for each of its letters and digits
		headers          []parallax.Field
	}{
		{"json", `{ "card": {"number":4111111111111111, "name":"A"}, "email" : "ada@example.org","n":1.0}`,
			`{ "card": {"number":xxxxxxxxxxxxxxxx, "name":"A"}, "email" : "xxx@xxxxxxx.xxx","n":1.0}`, json},
		{"all below", `{"card":{"number":["4111",{"a":"4111"}]}}`, `{"card":{"number":["xxxx",{"a":"xxxx"}]}}`, json},
		{"escapes", `{"email":"\u0061da\"","x":"\u0061"}`, `{"email":"xxx\"","x":"\u0061"}`, json},
		{"elements", `{"items":[{"note":"hello"},{"note":null},{"q":2}]}`, `{"items":[{"note":"xxxxx"},{"note":null},{"q":2}]}`, json},
		{"without a type", `{"email":"ada"}`, `{"email":"xxx"}`, nil},
		{"form", `email=ada%40example.org&q=a+b`, `email=xxx%40xxxxxxx.xxx&q=a+b`, []parallax.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}},
		{"called a form", ` {"email":"ada@example.org"}`, ` {"email":"xxx@xxxxxxx.xxx"}`, []parallax.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}},
		{"nothing to mask", `{"q":17}`, `{"q":17}`, json},
	} {
		got, _, err := m.body(c.headers, []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !sameShape(string(got), c.want) || secret.Match(got) {
			t.Errorf("%s: got %s, want the shape %s", c.name, got, c.want)
		}
	}
}

// sameShape compares a text with one in which x stands for a letter or digit.
func sameShape(got, want string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range len(got) {
		if want[i] != 'x' && got[i] != want[i] {
			return false
		}
	}
	return true
}

// TestUnreadableBodiesAreNotSent: a field must not leak because a body was
// written in a way that hides it.
func TestUnreadableBodiesAreNotSent(t *testing.T) {
	t.Parallel()
	m := testMask(t, "$.email")
	for name, c := range map[string]struct {
		text    string
		headers []parallax.Field
	}{
		"not JSON":       {"email: ada", nil},
		"broken JSON":    {`{"email":"ada"`, nil},
		"broken coding":  {`{"email":"ada"}`, []parallax.Field{{Name: "Content-Encoding", Value: "gzip"}}},
		"unknown coding": {`{"email":"ada"}`, []parallax.Field{{Name: "Content-Encoding", Value: "rot13"}}},
	} {
		if got, _, err := m.body(c.headers, []byte(c.text)); !errors.Is(err, errUnmaskable) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, _, err := m.body(nil, nil); err != nil || got != nil {
		t.Errorf("no body: got %q, %v", got, err)
	}
	heads := testMask(t, "header:X-Name")
	if got, _, err := heads.body(nil, []byte("email: ada")); err != nil || string(got) != "email: ada" {
		t.Errorf("a mask of headers: got %q, %v", got, err)
	}
}

func TestMaskedHeads(t *testing.T) {
	t.Parallel()
	m := testMask(t, "header:X-Name", "header:Authorization", "cookie:sid", "query:e mail")
	r := parallax.Request{Target: "/a?q=17&e%20mail=ada%40b.c&flag", Headers: []parallax.Field{
		{Name: "x-name", Value: "Ada"}, {Name: "Authorization", Value: "Bearer abc123"},
		{Name: "Cookie", Value: "theme=dark; sid=s17"}, {Name: "X-Other", Value: "Ada"},
	}}
	m.request(&r)
	want := parallax.Request{Target: "/a?q=17&e%20mail=xxx%40x.x&flag", Headers: []parallax.Field{
		{Name: "x-name", Value: "xxx"}, {Name: "Authorization", Value: "Bearer xxxxxx"},
		{Name: "Cookie", Value: "theme=dark; sid=xxx"}, {Name: "X-Other", Value: "Ada"},
	}}
	if !cmp.Equal(r, want, cmp.Comparer(func(got, want string) bool { return sameShape(got, want) || sameShape(want, got) })) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	for _, secret := range []string{"ada", "abc123", "s17"} {
		if strings.Contains(r.Target+r.Headers[0].Value+r.Headers[1].Value+r.Headers[2].Value, secret) {
			t.Errorf("%s shows in %+v", secret, r)
		}
	}
}

func TestMaskFaults(t *testing.T) {
	t.Parallel()
	_, faults := newMask([]string{"$.a", "$.a[", "header:", "header:Host", "body", "path:id"}, newMACs(nil))
	var at []string
	for _, f := range faults {
		if f.Hint == "" {
			t.Errorf("%s has no hint", f.Text)
		}
		at = append(at, f.Path)
	}
	if diff := cmp.Diff([]string{"mask[1]", "mask[2]", "mask[3]", "mask[4]", "mask[5]"}, at); diff != "" {
		t.Error(diff)
	}
}

func FuzzMask(f *testing.F) {
	f.Add(`{"a":"x","b":[1,{"a":-1.5e3}]}`)
	f.Add(`{"a":"\ud800","a":"4111111111111111"}`)
	m, _ := newMask([]string{"$..a"}, newMACs([]byte("key")))
	f.Fuzz(func(t *testing.T, text string) {
		got, _, err := m.body(nil, []byte(text))
		if err != nil {
			return
		}
		if again, _, err := m.body(nil, got); err != nil {
			t.Fatalf("%q became %q, which cannot be read: %v", text, got, err)
		} else if _, _, err := m.body(nil, again); err != nil {
			t.Fatal(err)
		}
	})
}
