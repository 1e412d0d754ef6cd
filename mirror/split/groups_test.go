package split

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func grouped(t *testing.T) *Splitter {
	t.Helper()
	return must(t, Config{Key: "ip", Salt: "orders", Groups: []Group{
		{Name: "reads", Endpoints: []string{"GET *"}},
		{Name: "carts", Endpoints: []string{"* /carts/*"}},
		{Name: "writes", Endpoints: []string{"POST /orders"}},
	}})
}

func TestGroupOfAnEndpoint(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	f := func(endpoint, want string, may bool) {
		t.Helper()
		if name, ok := s.Group(endpoint); name != want || ok != may {
			t.Errorf("%s: group %q, %t, want %q, %t", endpoint, name, ok, want, may)
		}
	}
	f("GET /orders/{id}", "reads", true)
	f("GET /carts/{id}", "reads", true) // the first that names it
	f("PUT /carts/{id}", "carts", true)
	f("POST /orders", "writes", true)
	f("DELETE /orders/{id}", "", false)
}

// TestGroupsHaveStepsOfTheirOwn: a user has one bucket, so that whoever writes on the candidate at a
// step reads there at a higher one.
func TestGroupsHaveStepsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	on := func(group string) (n int) {
		for i := range 10_000 {
			if s.Pick(fmt.Sprintf("user-%d", i), group) == parallax.Candidate {
				n++
			}
		}
		return n
	}
	s.SetSteps(Steps{Groups: map[string]int{"reads": 10_000, "carts": 2500, "writes": 100}})
	if reads, carts, writes := on("reads"), on("carts"), on("writes"); reads != 10_000 || carts != 2554 || writes != 98 || s.Step() != 10_000 {
		t.Errorf("%d read, %d have carts, %d write on the candidate; step %d", reads, carts, writes, s.Step())
	}
	if on("new") != 0 {
		t.Error("a group that no step names is live")
	}
	if without, _ := s.With(Config{Key: "ip", Salt: "orders"}); without.Pick("user-42", "") != parallax.Primary {
		t.Error("without groups, somebody meets the candidate above the lowest of their steps")
	}
	s.SetSteps(Steps{Groups: map[string]int{"reads": -1, "carts": 20_000}})
	if on("reads") != 0 || on("carts") != 10_000 {
		t.Error("steps are not bounded")
	}
	s.SetStep(0)
	if on("reads")+on("carts")+on("writes") != 0 || s.Step() != 0 {
		t.Error("somebody is on the candidate after step 0")
	}
	s.SetStep(2500)
	if on("reads") != 2554 || on("writes") != 2554 {
		t.Error("a step for all is not one of every group")
	}
}

func TestFaultsOfGroups(t *testing.T) {
	t.Parallel()
	faults := Config{Endpoints: []string{"GET *"}, Push: []Outside{{Webhook: &Webhook{URL: "https://edge.example/step", SecretFile: "s"}}}, Groups: []Group{
		{Name: "Reads", Endpoints: []string{"GET *"}}, {Name: "a", Endpoints: []string{"get /"}}, {Name: "a"},
	}}.Validate()
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	want := []string{"endpoints", "push", "groups[0].name", "groups[1].endpoints[0]", "groups[2].name", "groups[2].endpoints"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	s := grouped(t)
	s.SetSteps(Steps{Groups: map[string]int{"reads": 5000}})
	if n := testing.AllocsPerRun(100, func() { s.Pick("user-4711", "reads") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
