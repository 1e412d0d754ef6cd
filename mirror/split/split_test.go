package split

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func must(t *testing.T, c Config) *Splitter {
	t.Helper()
	s, faults := New(c)
	if len(faults) > 0 {
		t.Fatalf("New: %v", faults)
	}
	return s
}

func TestBucketGolden(t *testing.T) {
	for user, want := range map[string]int{"alice": 1536, "user-1": 3216, "user-42": 2981} {
		if got := Bucket("orders", user); got != want {
			t.Errorf("Bucket(orders, %s) = %d, want %d", user, got, want)
		}
	}
}

func TestShareOfUsersAtEachStep(t *testing.T) {
	s := must(t, Config{Key: "ip", Salt: "orders"})
	for step, want := range map[int]int{0: 0, 100: 98, 500: 511, 2500: 2554, 5000: 5041, 10000: 10000} {
		s.SetStep(step)
		got := 0
		for i := range 10000 {
			if s.Pick(fmt.Sprintf("user-%d", i), "") == parallax.Candidate {
				got++
			}
		}
		if got != want {
			t.Errorf("step %d: %d users on the candidate, want %d", step, got, want)
		}
	}
}

func TestRaisingTheStepMovesNobodyBack(t *testing.T) {
	s := must(t, Config{Key: "ip", Salt: "shop"})
	live := map[string]bool{}
	for step := 0; step <= Buckets; step += 250 {
		s.SetStep(step)
		for i := range 500 {
			user := fmt.Sprint("user-", i)
			on := s.Pick(user, "") == parallax.Candidate
			if live[user] && !on {
				t.Fatalf("step %d moved %s back to the primary", step, user)
			}
			live[user] = on
		}
	}
}

func TestPick(t *testing.T) {
	s := must(t, Config{Key: "ip", Salt: "orders", Pin: map[string]string{"staff": "candidate", "alice": "primary"}})
	f := func(step int, user string, want parallax.Leg) {
		t.Helper()
		s.SetStep(step)
		if got := s.Pick(user, ""); got != want {
			t.Errorf("step %d, user %q: live on the %s, want the %s", step, user, got, want)
		}
	}
	f(0, "staff", parallax.Candidate)
	f(10000, "alice", parallax.Primary)
	f(2982, "user-42", parallax.Candidate) // bucket 2981
	f(2981, "user-42", parallax.Primary)
	f(9999, "", parallax.Primary)
	f(10000, "", parallax.Candidate)
	f(-5, "user-1", parallax.Primary)
	f(20000, "user-1", parallax.Candidate)
}

func TestUser(t *testing.T) {
	headers := []parallax.Field{
		{Name: "x-user", Value: " bob "},
		{Name: "Cookie", Value: "theme=dark; sid=s1"},
		{Name: "cookie", Value: "other=1"},
	}
	f := func(key, want string) {
		t.Helper()
		if got := must(t, Config{Key: key}).User(headers, "192.0.2.1"); got != want {
			t.Errorf("key %q: user %q, want %q", key, got, want)
		}
	}
	f("", "")
	f("ip", "192.0.2.1")
	f("header:X-User", "bob")
	f("header:X-Other", "")
	f("cookie:sid", "s1")
	f("cookie:other", "1")
	f("cookie:none", "")
	c := func(line, want string) {
		t.Helper()
		headers := []parallax.Field{{Name: "Cookie", Value: line}}
		if got := must(t, Config{Key: "cookie:sid"}).User(headers, ""); got != want {
			t.Errorf("cookies %q: user %q, want %q", line, got, want)
		}
	}
	c("sid=alice", "alice")
	c(`sid=alice; prefs={"a":1}`, "alice")
	c(`prefs={"a":1,"b":2}; sid=alice`, "alice")
	c("sid=alice;", "alice")
	c("flag; sid=alice", "alice")
	c(";;sid = alice ;", "alice")
	c("sid=a=b", "a=b")
	c(`sid="alice"`, "alice")
	c("sid=caf\xe9", "caf\xe9")
	c("sid=alice; sid=bob", "alice")
	c("xsid=bob; sid=alice", "alice")
	c("SID=bob", "")
	c("sid", "")
	c("", "")
}

func TestKeysThatNameNothing(t *testing.T) {
	for _, key := range []string{"header:", "header:X User", "header:X:User", "header:X\nY", "cookie:", "cookie:a b", "cookie:a;b", "IP"} {
		if faults := (Config{Key: key}).Validate(); len(faults) != 1 || faults[0].Path != "key" {
			t.Errorf("key %q: %v, want one fault", key, faults)
		}
	}
}

func TestAllows(t *testing.T) {
	f := func(patterns []string, endpoint string, want bool) {
		t.Helper()
		if _, got := must(t, Config{Endpoints: patterns}).Group(endpoint); got != want {
			t.Errorf("%q allows %q: %t, want %t", patterns, endpoint, got, want)
		}
	}
	f(nil, "POST /orders", true)
	f([]string{"GET *"}, "GET /orders/{id}", true)
	f([]string{"GET *"}, "POST /orders", false)
	f([]string{"GET /orders"}, "GET /orders/{id}", false)
	f([]string{"POST /a", "* /orders/*"}, "PUT /orders/{id}", true)
	f([]string{"GET /orders/{id}"}, "GET /orders/{id}", true)
}

func TestValidateNamesEveryFault(t *testing.T) {
	_, faults := New(Config{Key: "body:x", Endpoints: []string{"GET *", "get /x", "nothing"}, Pin: map[string]string{"bob": "secondary"}})
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"key", "endpoints[1]", "endpoints[2]", "pin.bob"}, paths); diff != "" {
		t.Error(diff)
	}
	if _, faults := New(Config{Pin: map[string]string{"bob": "candidate"}}); len(faults) != 1 {
		t.Errorf("pins without a key: %v, want one fault", faults)
	}
	if _, faults := New(Config{Key: "ip", Pin: map[string]string{"": "candidate"}}); len(faults) != 1 {
		t.Errorf("a pin of nobody: %v, want one fault", faults)
	}
}

func BenchmarkPick(b *testing.B) {
	s, _ := New(Config{Key: "ip", Salt: "orders"})
	s.SetStep(5000)
	b.ReportAllocs()
	for b.Loop() {
		s.Pick("user-4711", "")
	}
}
