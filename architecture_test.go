package parallax_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms says what each room may import of this module; a room covers the
// folders below it. ARCHITECTURE.md has the picture. What is not listed may be
// imported by cmd and internal/rig only.
var rooms = []struct {
	room string
	may  []string
}{
	{"parallax", nil},
	{"parallax/internal/yamlstrict", nil},
	{"parallax/internal/atomicfile", nil},
	{"parallax/internal/body", []string{"parallax"}},
	{"parallax/internal/h1", []string{"parallax"}},
	{"parallax/internal/tlsfiles", []string{"parallax"}},
	{"parallax/internal/redisclient", []string{"parallax", "parallax/internal/tlsfiles"}},
	{"parallax/internal/github", []string{"parallax", "parallax/internal/atomicfile", "parallax/reports"}},
	{"parallax/internal/signature", nil},
	{"parallax/internal/notices", []string{"parallax", "parallax/internal/signature", "parallax/divergence", "parallax/reports"}},
	{"parallax/internal/ids", []string{"parallax", "parallax/internal/body"}},
	{"parallax/internal/ids/redis", []string{"parallax", "parallax/internal/ids", "parallax/internal/redisclient", "parallax/internal/tlsfiles"}},
	{"parallax/compare", []string{"parallax", "parallax/internal/body", "parallax/internal/ids", "parallax/internal/yamlstrict"}},
	{"parallax/divergence/embedded", []string{"parallax"}},
	{"parallax/divergence", []string{"parallax", "parallax/internal/atomicfile", "parallax/internal/body", "parallax/internal/ids", "parallax/compare"}},
	{"parallax/reports", []string{"parallax", "parallax/internal/atomicfile", "parallax/compare", "parallax/divergence"}},
	{"parallax/ui", []string{"parallax", "parallax/compare", "parallax/divergence", "parallax/reports"}},
	{"parallax/mirror", []string{"parallax", "parallax/internal/atomicfile", "parallax/internal/body", "parallax/internal/ids", "parallax/internal/h1", "parallax/internal/signature", "parallax/internal/tlsfiles", "parallax/mirror/split", "parallax/mirror/spool", "parallax/mirror/upstream"}},
	{"parallax/mirror/split/redis", []string{"parallax", "parallax/internal/redisclient", "parallax/internal/tlsfiles"}},
	{"parallax/mirror/redisqueue", []string{"parallax", "parallax/internal/redisclient", "parallax/internal/tlsfiles", "parallax/mirror"}},
	{"parallax/mirror/upstream", []string{"parallax"}},
}

// only names outside packages that one room alone may use.
var only = map[string]string{
	"github.com/labstack/echo/v4":            "parallax/ui",
	"github.com/ClickHouse/clickhouse-go/v2": "parallax/divergence",
	"github.com/ebitengine/purego":           "parallax/divergence/embedded",
	"github.com/getkin/kin-openapi/openapi3": "parallax/mirror/openapi",
	"github.com/hashicorp/consul/api":        "parallax/mirror/upstream/consul",
	"github.com/vektah/gqlparser/v2/parser":  "parallax/mirror/graphql",
	"github.com/jackc/pgx/v5/pgproto3":       "parallax/compare/effects/postgres",
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		room, may, free := roomOf(p.ImportPath)
		for _, imported := range p.Imports {
			if owner, ok := only[imported]; ok && !within(p.ImportPath, owner) {
				t.Errorf("%s imports %s, which belongs to %s", p.ImportPath, imported, owner)
			}
			if !strings.HasPrefix(imported+"/", "parallax/") || free || within(imported, room) && room != "parallax" {
				continue
			}
			if !slices.Contains(may, imported) {
				t.Errorf("%s imports %s; %s may import %v", p.ImportPath, imported, room, may)
			}
		}
	}
}

// TestRootAndCompareArePure keeps I/O, clocks and logs out of the rooms that are
// values and functions only.
func TestRootAndCompareArePure(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if p.ImportPath != "parallax" && p.ImportPath != "parallax/compare" && p.ImportPath != "parallax/compare/rows" && p.ImportPath != "parallax/internal/body" {
			continue
		}
		for _, imported := range p.Imports {
			switch imported {
			case "os", "net", "net/http", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "context":
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 5 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

// roomOf returns the deepest room that path lies in. free says that no rule
// holds there: it wires rooms together.
func roomOf(path string) (room string, may []string, free bool) {
	for _, r := range rooms {
		if within(path, r.room) && len(r.room) > len(room) && (r.room != "parallax" || path == "parallax") {
			room, may = r.room, r.may
		}
	}
	return room, may, room == "" && (within(path, "parallax/cmd") || within(path, "parallax/internal/rig"))
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
