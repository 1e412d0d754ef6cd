package effects

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax/compare"
)

func good() Config {
	c := DefaultConfig()
	c.Primary = []Database{{Postgres: "postgres://parallax:s3cret@old:5432/shop", Tables: []string{"orders", "billing.ledger"}}}
	c.Candidate = []Database{{Postgres: "postgres://parallax:s3cret@new:5432/shop", Tables: []string{"purchases"}}, {Debezium: "ledger", Tables: []string{"billing.ledger"}}}
	c.Tables = []compare.EffectTable{{Primary: "orders", Candidate: "purchases"}}
	return c
}

func TestValidate(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(c *Config), want ...string) {
		t.Helper()
		c := good()
		change(&c)
		var got []string
		for _, fault := range c.Validate() {
			got = append(got, fault.Path+": "+fault.Text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	f("as it is", func(*Config) {})
	f("nothing", func(c *Config) { *c = DefaultConfig() })
	f("tables of nothing", func(c *Config) { c.Primary, c.Candidate = nil, nil }, "tables: there is no database to read them from")
	f("one side", func(c *Config) { c.Candidate = nil }, "candidate: names no database", `tables[0].candidate: "purchases" is not read from any database of the candidate`)
	f("databases", func(c *Config) {
		c.Primary = []Database{
			{Tables: []string{"orders"}}, {Postgres: "host=old", Debezium: "x", Tables: []string{"a", "", "a"}}, {Postgres: "host=old password=s3cret"},
			{Debezium: "y", Publication: "p", Tables: []string{"public.a"}}, {Debezium: "y", Tables: []string{"b"}}}
	},
		"primary[0]: wants one of postgres, debezium and outbox", "primary[1]: wants one of postgres, debezium and outbox", "primary[1].tables[1]: is empty", "primary[1].tables[2]: a is listed twice",
		"primary[2].postgres: is not a connection string of PostgreSQL", "primary[2].tables: names no table",
		"primary[3].publication: is PostgreSQL's, and this database is read by Debezium", "primary[3].tables[0]: a is listed twice", `primary[4].debezium: "y" is another database's name too`)
	f("events", func(c *Config) {
		c.Primary = append(c.Primary, Database{Debezium: "x", Tables: []string{"public.a", "b"}, Keys: map[string][]string{"a": {"id"}, "b": {}, "c": {"id"}}, Delay: time.Hour},
			Database{Outbox: true, Tables: []string{"mail"}}, Database{Outbox: true, Tables: []string{"sms"}, Keys: map[string][]string{"sms": {"id"}}})
	},
		"primary[1].delay: 1h0m0s is not between 0 and 1m0s", "primary[1].keys.b: names no column, or one without a name", "primary[1].keys.c: is not a table that is read",
		"primary[3]: keys and delay are of databases with debezium", "primary[3].outbox: the leg has an outbox already")
	f("a delay nobody waits for", func(c *Config) { c.Candidate[1].Delay = 10 * time.Second },
		"candidate[1].delay: 10s is not shorter than effects.wait, 10s: no exchange would wait for its events")
	f("correlations", func(c *Config) { c.Correlate = []string{"tag", "tag", "column:", "guess", "column:request_id", "key"} },
		`correlate[1]: "tag" is listed twice`, "correlate[2]: names no column", `correlate[3]: "guess" is none of them`)
	f("none", func(c *Config) { c.Correlate = nil }, "correlate: is empty: no change would find its exchange")
	f("times and sizes", func(c *Config) { c.Settle, c.Wait, c.Waiting, c.Log = 0, 0, Waiting{}, Log{} },
		"settle: 0s is not between 0 and 1m0s", "wait: 0s is too short for a database's log", "waiting: exchanges and memory must be at least 1",
		"log.memory: less than 1MiB holds nothing", "log.age: 0s is shorter than settle and a second")
	f("a long settle", func(c *Config) { c.Settle, c.Log.Age = 2*time.Minute, time.Hour }, "settle: 2m0s is not between 0 and 1m0s")
}

func TestConnectionStringsKeepTheirPassword(t *testing.T) {
	t.Parallel()
	c := good()
	c.Primary = append(c.Primary, Database{Postgres: "postgres://old/shop?user=u&password=s3cret&sslpassword=s3cret"}, Database{Postgres: "host=old password=s3cret"})
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for what, shown := range map[string]string{"yaml": string(text), "fmt": fmt.Sprintf("%v %+v %s", c, c, c.Primary[0].Postgres), "name": c.Primary[0].Name() + c.Primary[2].Name()} {
		if strings.Contains(shown, "s3cret") {
			t.Errorf("%s shows a password:\n%s", what, shown)
		}
	}
	socket := Database{Postgres: "postgres:///shop?host=/run/postgresql&port=5433&user=u&password=s3cret", Tables: []string{"orders"}}
	if _, faults := validateDatabases([]Database{socket}); len(faults) > 0 || socket.Name() != "/run/postgresql:5433/shop" || strings.Contains(socket.Postgres.String(), "s3cret") {
		t.Errorf("a socket: %v, %s, %s", faults, socket.Name(), socket.Postgres)
	}
	if want := "old:5432/shop"; c.Primary[0].Name() != want {
		t.Errorf("the name is %q, want %q", c.Primary[0].Name(), want)
	}
}

// TestCallsAreTables says things of what the legs call.
func TestCallsAreTables(t *testing.T) {
	t.Parallel()
	f := func(c Config, want ...string) {
		t.Helper()
		var got []string
		for _, f := range c.Validate() {
			got = append(got, f.Path)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("faults of %+v (-want +got):\n%s", c, d)
		}
	}
	c := DefaultConfig()
	c.Tables = []compare.EffectTable{{Primary: "mails", Ignore: []string{"status"}}, {Primary: "http:pay.example", Candidate: "http:pay.example:8443"}}
	f(c, "tables")
	c.Calls = []string{}
	f(c, "tables[0].primary", "tables[0].candidate")
	c.Calls = []string{"mails"}
	f(c)
	c.Primary = []Database{{Postgres: "postgres://db/old", Tables: []string{"mails"}}}
	c.Candidate = []Database{{Postgres: "postgres://db/new", Tables: []string{"orders"}}}
	f(c, "primary")
}
