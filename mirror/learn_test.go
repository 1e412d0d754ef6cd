package mirror

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// word returns one of endlessly many words without digits.
func word(i int) string {
	const syllables = "balorimetusinadokevaparezu"
	w := ""
	for ; w == "" || i > 0; i /= 13 {
		at := i % 13 * 2
		w += syllables[at : at+2]
	}
	return w
}

// shopPath returns one of endlessly many paths of a shop, with what its template
// should be; the first of a kind may keep a name of their own.
func shopPath(r *rand.Rand) (path, template string) {
	user, product, city := word(r.IntN(30_000)), word(r.IntN(50_000)), word(2000+r.IntN(3000))
	switch r.IntN(12) {
	case 0:
		return "/users/" + user, "/users/{name}"
	case 1:
		return "/users/" + user + "/orders", "/users/{name}/orders"
	case 2:
		return fmt.Sprintf("/users/%s/orders/%d", user, r.IntN(1e9)), "/users/{name}/orders/{id}"
	case 3:
		return "/users/" + user + "/lists/" + product, "/users/{name}/lists/{name}"
	case 4:
		return "/products/" + product, "/products/{name}"
	case 5:
		return "/products/" + product + "-" + user, "/products/{name}"
	case 6:
		return "/products/" + product + "/reviews", "/products/{name}/reviews"
	case 7:
		return fmt.Sprintf("/blog/%s-%s-%s-%s", user, product, city, user), "/blog/{slug}"
	case 8:
		return "/shops/" + city + "/stock/" + product + "/history", "/shops/{name}/stock/{name}/history"
	case 9:
		return fmt.Sprintf("/carts/%016x%016x/items", r.Uint64(), r.Uint64()|1), "/carts/{hash}/items"
	case 10:
		return "/api/v1/invoices/" + fmt.Sprint(r.IntN(1e6)), "/api/v1/invoices/{id}"
	}
	return []string{"/health", "/", "/login", "/checkout", "/api/v1/search"}[r.IntN(5)], ""
}

func TestManyPathsLeaveFewEndpoints(t *testing.T) {
	t.Parallel()
	r := routerOf(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	paths, counts, inTemplate, templated := map[string]bool{}, map[string]int{}, 0, 0
	for len(paths) < 200_000 {
		path, template := shopPath(rnd)
		e := r.find("GET", path)
		paths[path] = true
		counts[e.name]++
		if template == "" {
			if e.name != "GET "+path {
				t.Fatalf("%s, which is fixed, is counted as %q", path, e.name)
			}
			continue
		}
		templated++
		if e.name == "GET "+template {
			inTemplate++
		}
	}
	if len(counts) >= DefaultEndpoints {
		t.Errorf("%d paths leave %d endpoints, want fewer than %d", len(paths), len(counts), DefaultEndpoints)
	}
	if share := float64(inTemplate) / float64(templated); share < 0.97 {
		t.Errorf("%.1f %% of the paths are in the template that a person would write, want 97", 100*share)
	}
	if n := counts["GET other"]; n > 0 {
		t.Errorf("%d requests have no template", n)
	}
	t.Logf("%d paths, %d endpoints, %d of %d in the template a person would write", len(paths), len(counts), inTemplate, templated)
}

// TestOrderedPathsLeaveRoom walks user by user, as a crawler does.
func TestOrderedPathsLeaveRoom(t *testing.T) {
	t.Parallel()
	r := routerOf(t)
	for u := range 400 {
		for p := range 500 {
			r.find("GET", "/users/"+word(u)+"/posts/"+word(p))
		}
	}
	if got := r.find("GET", "/users/never-seen/posts/never-seen").name; got != "GET /users/{name}/posts/{name}" {
		t.Errorf("a further post is %q", got)
	}
	if n := len(r.learned.born()); n > DefaultEndpoints-20 {
		t.Errorf("%d endpoints leave no room for what comes later", n)
	}
	if got := r.find("GET", "/checkout").name; got != "GET /checkout" {
		t.Errorf("what comes later is %q", got)
	}
}

func TestEndpointsAreNeverRenamed(t *testing.T) {
	t.Parallel()
	r := routerOf(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	first := map[string]string{}
	var paths []string
	for range 20_000 {
		path, _ := shopPath(rnd)
		if _, ok := first[path]; !ok {
			first[path] = r.find("GET", path).name
			paths = append(paths, path)
		}
	}
	for path, name := range first {
		if got := r.find("GET", path).name; got != name {
			t.Errorf("%s was %q and is %q", path, name, got)
		}
	}
	again := routerOf(t)
	for _, path := range paths {
		again.find("GET", path)
	}
	if diff := cmp.Diff(r.learned.born(), again.learned.born()); diff != "" {
		t.Errorf("the same paths in the same order make other endpoints (-first +second):\n%s", diff)
	}
}

func TestLearnedEndpointsAreRemembered(t *testing.T) {
	t.Parallel()
	r := routerOf(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	names := map[string]string{}
	for range 5000 {
		path, _ := shopPath(rnd)
		names[path] = r.find("GET", path).name
	}
	for _, path := range []string{"/shop.Orders/Get", "/shop.Orders/List"} {
		names[path] = r.find("POST", path).name
	}
	next := routerOf(t)
	next.learned.remember(append(r.learned.born(), "nonsense", "GET", "YELL /x", "GET other"))
	next.learned.remember(r.learned.born()) // twice does no harm
	if diff := cmp.Diff(r.learned.born(), next.learned.born()); diff != "" {
		t.Fatalf("remembered endpoints (-before +after):\n%s", diff)
	}
	for path, name := range names {
		method, _, _ := strings.Cut(name, " ")
		if got := next.find(method, path).name; got != name {
			t.Errorf("%s was %q and is %q", path, name, got)
		}
	}
}

// TestHostilePathsStayInBounds sends paths that nobody would, from several
// callers.
func TestHostilePathsStayInBounds(t *testing.T) {
	t.Parallel()
	r := routerOf(t, "GET /listed")
	names := make([]map[string]bool, 4)
	var wg sync.WaitGroup
	for g := range names {
		names[g] = map[string]bool{}
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(g)))
			for range 250_000 {
				method := append(methods[:], "YELL", "get")[rnd.IntN(len(methods)+2)]
				e := r.find(method, hostilePath(rnd))
				names[g][e.name] = true
			}
		})
	}
	wg.Wait()
	all := map[string]bool{}
	for _, n := range names {
		for name := range n {
			all[name] = true
			if len(name) > maxDepth*(longLiteral+1)+10 {
				t.Errorf("a name of %d bytes", len(name))
			}
		}
	}
	if len(all) > DefaultEndpoints {
		t.Errorf("%d endpoints, the cap is %d", len(all), DefaultEndpoints)
	}
	if places := r.learned.root.size() + r.learned.rpcs.size(); places > DefaultEndpoints*maxDepth {
		t.Errorf("%d places", places)
	}
	if got := r.find("GET", "/listed").name; got != "GET /listed" {
		t.Errorf("past the cap a listed path is %q", got)
	}
	if a, b := r.find("POST", "/x/x/x/x/x/x/x"), r.find("POST", "/y/y/y/y/y/y/y"); a != b || a.name != "POST other" || a.safe {
		t.Errorf("past the cap: %q, %q", a.name, b.name)
	}
}

func hostilePath(rnd *rand.Rand) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_.~%@{}/"
	p := make([]byte, 1+rnd.IntN(60))
	for i := range p {
		p[i] = alphabet[rnd.IntN(len(alphabet))]
	}
	if rnd.IntN(8) == 0 {
		return "/" + word(rnd.IntN(1e6)) + "." + word(rnd.IntN(1e6)) + "/" + word(rnd.IntN(1e6))
	}
	if rnd.IntN(8) == 0 {
		return strings.Repeat("/"+word(rnd.IntN(3)), rnd.IntN(20))
	}
	return "/" + string(p)
}

func (p *place) size() int {
	n := 1
	for _, child := range *p.next.Load() {
		n += child.size()
	}
	return n
}

func TestGRPCMethodsKeepTheirNames(t *testing.T) {
	t.Parallel()
	r := routerOf(t)
	var got []string
	for i := range maxGRPC + 1 {
		got = append(got, r.find("POST", "/shop.v1.Orders/"+word(i)).name)
	}
	for i, name := range got[:maxGRPC] {
		if want := "POST /shop.v1.Orders/" + word(i); name != want {
			t.Errorf("method %d is %q, want %q", i, name, want)
		}
	}
	if last := got[maxGRPC]; last != "POST other" {
		t.Errorf("past the cap a method is %q", last)
	}
	if slices.ContainsFunc(r.learned.born(), func(name string) bool { return strings.Contains(name, "{") }) {
		t.Error("gRPC methods became a template")
	}
	for _, path := range []string{"/a.b/c/d", "/a.b", "/a.b/", "/.a/b", "/a./b", "/ab/c", "/a.b/c.d", "/a.1b/c"} {
		if isGRPC("POST", path) {
			t.Errorf("%s looks like a gRPC method", path)
		}
	}
}

func FuzzFindEndpoint(f *testing.F) {
	for _, seed := range []string{"/", "/orders/17", "*", "", "//", "/a.b/c", "/%2e", "/{name}", "/{id}/x"} {
		f.Add("GET", seed)
		f.Add("POST", seed)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		r := routerOf(t, "GET /orders/{id}.csv", "GET /files/{rest...}")
		e := r.find(method, target)
		if again := r.find(method, target); again != e {
			t.Errorf("%q is %q first and %q then", target, e.name, again.name)
		}
		if e.safe != safe(strings.SplitN(e.name, " ", 2)[0]) {
			t.Errorf("%q is safe: %t", e.name, e.safe)
		}
	})
}
