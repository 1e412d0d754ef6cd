package mirror

import (
	"strings"
	"testing"

	"parallax"
)

func TestRewriting(t *testing.T) {
	t.Parallel()
	f := func(target, want string, rules ...Rewrite) {
		t.Helper()
		c := LegConfig{Rewrite: rules}
		if faults := c.Validate(); len(faults) > 0 {
			t.Fatalf("%+v: %v", rules, faults)
		}
		w, err := newRewriting(c)
		if err != nil {
			t.Fatal(err)
		}
		r := parallax.Request{Target: target, Host: "shop.example:8080"}
		if err := w.apply(&r); err != nil {
			r.Target = err.Error()
		}
		if r.Target != want {
			t.Errorf("%q becomes %q, want %q, by %+v", target, r.Target, want, rules)
		}
	}
	moved := Rewrite{Path: "^/api/(.*)$", To: new("/v2/$1")}
	f("/api/orders/17?x=1", "/v2/orders/17?x=1", moved)
	f("/api/a%2Fb/./c//d?a;b=%zz&&", "/v2/a%2Fb/./c//d?a;b=%zz&&", moved)
	f("/apis/orders", "/apis/orders", moved)
	f("*", "*", moved)
	f("/api/x", "/v2/x", moved, Rewrite{Path: "^/v2/(.*)$", To: new("/v3/$1")}) // the first that matches, and no other
	f("/v2/x", "/v3/x", moved, Rewrite{Path: "^/v2/(.*)$", To: new("/v3/$1")})
	f("/old/a/old/b", "/new/a/new/b", Rewrite{Path: "/old/", To: new("/new/")})
	f("/v1/x", "/x", Rewrite{Path: "^/v1", To: new("")})
	f("/v1/x", "/v1/x", Rewrite{Path: "^/v1", To: new("$0")}, Rewrite{Path: "x", To: new("y")})
	f("/users/17", "/u/17/of", Rewrite{Path: `^/users/(?P<id>\d+)$`, To: new("/u/${id}/of")})
	f("/x", "/a$b", Rewrite{Path: "^/x$", To: new("/a$$b")})
	f("/caf\xe9/1", "/caf\xe9/2", Rewrite{Path: "1$", To: new("2")})

	f("/s?q=a+b&page=2&q=%C3", "/s?query=a+b&page=2&query=%C3", Rewrite{Query: "q", To: new("query")})
	f("/s?utm_source=x&id=1&utm_medium=y", "/s?id=1", Rewrite{Query: "utm_.*", Remove: true})
	f("/s?utm_source=x", "/s", Rewrite{Query: "utm_.*", Remove: true})
	f("/s?", "/s?", Rewrite{Query: "utm_.*", Remove: true})
	f("/s?a=1;b=2&c=%zz&d", "/s?a=1;b=2&c=%zz&d", Rewrite{Query: "b", Remove: true})
	f("/s?a=1;b=2&c=%zz&d", "/s?a=1;b=2&c=%zz&e", Rewrite{Query: "d", To: new("e")})
	f("/s?a&b=", "/s?a&v=", Rewrite{Query: "b", To: new("v")})
	f("/s?%71=1&q%5B%5D=2", "/s?query=1&q%5B%5D=2", Rewrite{Query: "q", To: new("query")})
	f("/s?q%5Ba%5D=2", "/s?f.a=2", Rewrite{Query: `q\[(\w+)\]`, To: new("f.$1")})
	f("/s?v=1&v=2", "/s?v=x%26y&v=x%26y", Rewrite{Query: "v", Set: new("x&y")})
	f("/s", "/s?v=3", Rewrite{Query: "v", Set: new("3")})
	f("/s?a=1", "/s?a=1&v=", Rewrite{Query: "v", Set: new("")})
	f("/s?a=1", "/s?a=1", Rewrite{Query: "v.*", Set: new("3")}) // no name to add
	f("/s?a=1&b=2", "/s?c=1&v=3", Rewrite{Query: "a", To: new("c")}, Rewrite{Query: "b", Remove: true}, Rewrite{Query: "v", Set: new("3")})
	f("/api/s?a=1", "/v2/s?b=1", moved, Rewrite{Query: "a", To: new("b")})

	f("/x/y", "the declared rewriting of the request's path gives no valid path", Rewrite{Path: "/x/(.*)", To: new("$1")})
	f("/xx", "the declared rewriting makes the request's target longer than 65536 bytes", Rewrite{Path: "x", To: new(strings.Repeat("y", 40_000))})
}

func TestRewritingTheHost(t *testing.T) {
	t.Parallel()
	f := func(c LegConfig, host, want string) {
		t.Helper()
		if faults := c.Validate(); len(faults) > 0 {
			t.Fatalf("%+v: %v", c, faults)
		}
		w, err := newRewriting(c)
		if err != nil {
			t.Fatal(err)
		}
		r := parallax.Request{Target: "/", Host: host}
		if err := w.apply(&r); err != nil {
			r.Host = err.Error()
		}
		if r.Host != want {
			t.Errorf("host %q becomes %q, want %q, by %+v", host, r.Host, want, c)
		}
	}
	f(LegConfig{}, "Shop.example:8080", "Shop.example:8080")
	f(LegConfig{Host: "keep"}, "Shop.example:8080", "Shop.example:8080")
	f(LegConfig{Host: "leg"}, "shop.example", "") // the sender's to fill in
	f(LegConfig{Host: "new.internal:81"}, "shop.example", "new.internal:81")
	rule := LegConfig{Rewrite: []Rewrite{{Host: `^(\w+)\.example$`, To: new("$1.new.example")}, {Host: "shop", To: new("never")}}}
	f(rule, "Shop.Example", "Shop.new.example")
	f(rule, "other.org", "other.org")
	f(rule, "", "")
	f(LegConfig{Rewrite: []Rewrite{{Host: ".*", To: new("")}}}, "shop", "the declared rewriting of the request's host gives no valid host")
}

func TestRewritesThatCannotWork(t *testing.T) {
	t.Parallel()
	f := func(c LegConfig, path, text string) {
		t.Helper()
		faults := c.Validate()
		if len(faults) != 1 || faults[0].Path != path || !strings.Contains(faults[0].Text, text) || faults[0].Hint == "" && !strings.HasPrefix(path, "request") {
			t.Errorf("%+v: %q, want %q at %s and a hint", c, faults, text, path)
		}
	}
	rule := func(r Rewrite) LegConfig { return LegConfig{Rewrite: []Rewrite{{Path: "/ok", To: new("/ok")}, r}} }
	f(rule(Rewrite{}), "rewrite[1]", "this one has 0")
	f(rule(Rewrite{Path: "/a", Host: "b", To: new("/b")}), "rewrite[1]", "this one has 2")
	f(rule(Rewrite{Path: "/a(", To: new("/b")}), "rewrite[1].path", "missing closing )")
	f(rule(Rewrite{Query: "*", Remove: true}), "rewrite[1].query", "missing argument to repetition operator")
	f(rule(Rewrite{Host: "[", To: new("b")}), "rewrite[1].host", "missing closing ]")
	f(rule(Rewrite{Path: "/a"}), "rewrite[1]", "there is no to")
	f(rule(Rewrite{Path: "/a", To: new("/b"), Remove: true}), "rewrite[1]", "for names in the query")
	f(rule(Rewrite{Query: "a"}), "rewrite[1]", "this one has 0")
	f(rule(Rewrite{Query: "a", To: new("b"), Set: new("c")}), "rewrite[1]", "this one has 2")
	f(rule(Rewrite{Query: "a", To: new("")}), "rewrite[1].to", "cannot be empty")
	f(rule(Rewrite{Path: "^/api/(.*)$", To: new("/$2")}), "rewrite[1].to", "$2 names no group")
	f(rule(Rewrite{Path: "^/api/(.*)$", To: new("/$1_new")}), "rewrite[1].to", "$1_new names no group")
	f(rule(Rewrite{Path: "^/api/(.*)$", To: new("/a$")}), "rewrite[1].to", "$ names no group")
	f(rule(Rewrite{Path: "^/api/(.*)$", To: new("v2/$1")}), "rewrite[1].to", "does not begin with a slash")
	f(rule(Rewrite{Path: "^/api$", To: new("/v2?x=1")}), "rewrite[1].to", "a path has no ?")
	f(rule(Rewrite{Path: "^/api$", To: new("/v 2")}), "rewrite[1].to", "cannot be part of a path")
	f(rule(Rewrite{Host: "a", To: new("b/c")}), "rewrite[1].to", "cannot be part of a host")
	f(LegConfig{Host: "a b"}, "host", "is no host")
	f(LegConfig{Host: "leg", Rewrite: []Rewrite{{Host: "a", To: new("b")}}}, "rewrite[0].host", "can never matter")
	f(LegConfig{Request: RequestChanges{Remove: []string{"Host"}}}, "request.remove[0]", "Host is not removed")
}

func FuzzRewrite(f *testing.F) {
	f.Add("/api/x?a=1&b;c=%zz&&=", "^/api/(.*)$", "/v2/$1", "a|b")
	f.Fuzz(func(t *testing.T, target, path, to, query string) {
		c := LegConfig{Rewrite: []Rewrite{{Path: path, To: &to}, {Query: query, Remove: true}}}
		if !strings.HasPrefix(target, "/") || len(target) > 4000 || strings.ContainsAny(target, " #") || len(c.Validate()) > 0 {
			t.Skip()
		}
		w, err := newRewriting(c)
		if err != nil {
			t.Fatalf("validated, and yet: %v", err)
		}
		r := parallax.Request{Target: target}
		before, _, _ := strings.Cut(target, "?")
		if w.apply(&r) == nil && isPath(before) {
			if after, _, _ := strings.Cut(r.Target, "?"); !isPath(after) {
				t.Errorf("%q becomes %q, which is no target", target, r.Target)
			}
		}
	})
}
