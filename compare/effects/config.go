package effects

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/compare"
)

// Config says which databases the legs of a service write to, and how what they
// commit is joined to its exchanges and compared. A service without databases has no
// effects, and nothing waits for them.
type Config struct {
	Primary   []Database            `yaml:"primary" doc:"the databases that the primary writes to"`
	Candidate []Database            `yaml:"candidate" doc:"those that the candidate writes to"`
	Correlate []string              `yaml:"correlate" doc:"how a change finds its exchange, of: tag (its transaction carries the exchange's id), trace (its traceparent), column:NAME (a column has the id), key (its key stands in the request or answer; such evidence alone never promotes)"`
	Tables    []compare.EffectTable `yaml:"tables" doc:"which tables and columns of the two belong together, where they are not named alike, and what is not compared"`
	Settle    time.Duration         `yaml:"settle" doc:"how long after the answers a leg may go on working; what it commits later is stored as late, and not compared; at most 1m"`
	Wait      time.Duration         `yaml:"wait" doc:"how long after that a database's log is waited for; then the exchange is not comparable: effects_unknown"`
	Waiting   Waiting               `yaml:"waiting" doc:"how many exchanges may wait for their effects; more are not comparable: effects_unknown"`
	Log       Log                   `yaml:"log" doc:"what is remembered of what the databases committed, for exchanges that come later"`
	Verify    Verify                `yaml:"verify" doc:"comparing whole tables of both databases, now and then"`

	// Calls is not nil if the calls that the legs make are read, too: as tables with these
	// names, and with such as begin with http:.
	Calls []string `yaml:"-"`
}

// Waiting bounds the exchanges of a service that wait for their effects.
type Waiting struct {
	Exchanges int           `yaml:"exchanges" doc:"how many"`
	Memory    parallax.Size `yaml:"memory" doc:"how many bytes of bodies"`
}

// Log bounds what is remembered of commits.
type Log struct {
	Memory parallax.Size `yaml:"memory" doc:"how many bytes of changes; what is forgotten too early makes its exchanges not comparable"`
	Age    time.Duration `yaml:"age" doc:"how long a change waits for its exchange; at least as long as a request and the queue may take"`
}

// Database is one database that a leg writes to.
type Database struct {
	Postgres    DSN           `yaml:"postgres,omitempty" doc:"connection string of a PostgreSQL server, such as postgres://parallax:secret@db:5432/shop; not of a pooler; the role needs REPLICATION"`
	Publication string        `yaml:"publication,omitempty" doc:"of PostgreSQL: the publication with these tables; parallax if empty, and made where the role may"`
	MaxLag      parallax.Size `yaml:"max_lag,omitempty" doc:"of PostgreSQL: how much of its log the server may have to keep for Parallax; beyond it the slot is given up, and what was not read is unknown; 10GiB if it is not there"`
	Debezium    string        `yaml:"debezium,omitempty" doc:"instead: the name under which Debezium sends this database's changes to /api/v1/effects/{service}/{leg}"`
	Outbox      bool          `yaml:"outbox,omitempty" doc:"instead: what the leg says it sent to the outside, in plain envelopes at the same address; tables then names the sinks, such as mail"`
	Tables      []string      `yaml:"tables" doc:"the tables that are read, each with its schema where that is not public, or of MySQL its database"`

	Keys  map[string][]string `yaml:"keys,omitempty" doc:"with debezium: the columns that name a row, by table, such as {orders: [id]}; Debezium's HTTP sink does not send them"`
	Delay time.Duration       `yaml:"delay,omitempty" doc:"with debezium: how long after a commit its events may come; exchanges wait that long for them; 2s if it is not there"`
}

// DSN is a connection string. It is written and logged without its password.
type DSN string

// String returns the connection string without its password.
func (d DSN) String() string {
	if d == "" {
		return ""
	}
	u, host := d.parse()
	if host == "" {
		return "xxxxx" // Whatever it is, a password may stand anywhere in it.
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Set(name, "xxxxx")
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}

// MarshalYAML implements yaml.Marshaler.
func (d DSN) MarshalYAML() (any, error) { return d.String(), nil }

// MarshalText implements encoding.TextMarshaler.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Name is what the database is called in messages: without secrets.
func (d Database) Name() string {
	switch {
	case d.Outbox:
		return "outbox"
	case d.Postgres == "":
		return "debezium " + d.Debezium
	}
	u, host := d.Postgres.parse()
	if host == "" {
		return "postgres"
	}
	return host + u.Path
}

// parse reads a connection string. Host is its server, or the directory of a server's
// socket, with the port where it is told; "" for what is none.
func (d DSN) parse() (u *url.URL, host string) {
	u, err := url.Parse(string(d))
	if err != nil || u.Host != "" && u.Hostname() == "" {
		return nil, ""
	}
	if host = u.Host; host == "" {
		if host = u.Query().Get("host"); host != "" && u.Query().Has("port") {
			host += ":" + u.Query().Get("port")
		}
	}
	return u, host
}

// DefaultConfig is where every configuration starts from.
func DefaultConfig() Config {
	return Config{
		Correlate: []string{"tag", "trace"}, Settle: 2 * time.Second, Wait: 10 * time.Second,
		Waiting: Waiting{Exchanges: 20_000, Memory: 128 << 20},
		Log:     Log{Memory: 64 << 20, Age: time.Minute},
		Verify:  DefaultVerify(),
	}
}

// Configured reports whether there are databases or calls to read.
func (c Config) Configured() bool { return c.HasDatabases() || c.Calls != nil }

// Reading returns what c says of how databases are read: all that [Joiner.Adjust] leaves as it
// is. The rest is the zero value.
func (c Config) Reading() Config {
	return Config{Primary: c.Primary, Candidate: c.Candidate, Correlate: c.Correlate}
}

// HasDatabases reports whether there are databases to read.
func (c Config) HasDatabases() bool { return len(c.Primary)+len(c.Candidate) > 0 }

// called reports whether a table is what calls are read as.
func (c Config) called(table string) bool {
	return c.Calls != nil && strings.HasPrefix(table, "http:") || slices.Contains(c.Calls, table)
}

// Databases returns the databases of a leg.
func (c Config) Databases(leg parallax.Leg) []Database {
	switch leg {
	case parallax.Primary:
		return c.Primary
	case parallax.Candidate:
		return c.Candidate
	}
	return nil
}

// maxSettle bounds settle: exchanges are held in memory for so long.
const maxSettle = time.Minute

// Validate returns everything that is wrong with c as it is written. The databases are
// not asked.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	_, wrong := compare.CompileEffectTables(c.Tables)
	faults = append(faults, parallax.Under("tables", wrong)...)
	if !c.Configured() {
		if len(c.Tables) > 0 {
			add("tables", "there is no database to read them from", "name the databases in primary and candidate")
		}
		return faults
	}
	read := map[parallax.Leg]map[string]bool{}
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		if len(c.Databases(leg)) == 0 && c.HasDatabases() {
			add(leg.String(), "names no database", "without it there is nothing to compare the other's with")
		}
		var found []parallax.Fault
		read[leg], found = validateDatabases(c.Databases(leg))
		faults = append(faults, parallax.Under(leg.String(), found)...)
		for _, name := range c.Calls {
			if read[leg][name] {
				add(leg.String(), fmt.Sprintf("%q is a table, and what egress calls something", name), "give it another name in egress.allow[].as")
			}
		}
	}
	faults = append(faults, c.unread(read)...)
	faults = append(faults, c.checkDelays()...)
	faults = append(faults, parallax.Under("verify", c.Verify.Validate())...)
	faults = append(faults, c.validateCorrelate()...)
	if c.Settle <= 0 || c.Settle > maxSettle {
		add("settle", fmt.Sprintf("%s is not between 0 and %s", c.Settle, maxSettle), "2s is enough for services that work on after an answer for a moment")
	}
	if c.Wait < time.Second {
		add("wait", fmt.Sprintf("%s is too short for a database's log", c.Wait), "write 1s or more")
	}
	if c.Waiting.Exchanges < 1 || c.Waiting.Memory < 1 {
		add("waiting", "exchanges and memory must be at least 1", "")
	}
	if c.Log.Memory < 1<<20 {
		add("log.memory", "less than 1MiB holds nothing", "64MiB is the default")
	}
	if c.Log.Age < c.Settle+time.Second {
		add("log.age", fmt.Sprintf("%s is shorter than settle and a second", c.Log.Age), "changes wait for their exchange so long: 1m is the default")
	}
	return faults
}

// validateDatabases checks the databases of one leg and returns which tables are read.
func validateDatabases(list []Database) (read map[string]bool, faults []parallax.Fault) {
	read = map[string]bool{}
	names := map[string]bool{}
	for i, d := range list {
		add := func(path, text, hint string) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("[%d]%s", i, path), Text: text, Hint: hint})
		}
		switch {
		case d.kinds() != 1:
			add("", "wants one of postgres, debezium and outbox", "write postgres: postgres://USER:PASSWORD@HOST:PORT/DATABASE, a name that Debezium sends with, or outbox: true")
		case d.Debezium != "" && d.Publication != "":
			add(".publication", "is PostgreSQL's, and this database is read by Debezium", "")
		case d.Debezium != "" && names[d.Debezium]:
			add(".debezium", fmt.Sprintf("%q is another database's name too", d.Debezium), "")
		case d.Postgres != "" && !d.Postgres.good():
			add(".postgres", "is not a connection string of PostgreSQL", "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded")
		}
		if d.MaxLag != 0 && d.Postgres == "" {
			add(".max_lag", "is PostgreSQL's, and this database is read otherwise", "")
		}
		names[d.Debezium] = true
		d.checkEvents(add)
		if d.Outbox && slices.ContainsFunc(list[:i], func(o Database) bool { return o.Outbox }) {
			add(".outbox", "the leg has an outbox already", "name all sinks in one")
		}
		if len(d.Tables) == 0 {
			add(".tables", "names no table", "list the tables whose rows are to be compared")
		}
		for k, table := range d.Tables {
			name := strings.TrimPrefix(table, "public.")
			switch {
			case name == "":
				add(fmt.Sprintf(".tables[%d]", k), "is empty", "")
			case read[name]:
				add(fmt.Sprintf(".tables[%d]", k), fmt.Sprintf("%s is listed twice", name), "tables of two databases of a leg need different names")
			}
			read[name] = true
		}
	}
	return read, faults
}

// good reports whether the connection string can be read as an address with a
// database.
func (d DSN) good() bool {
	u, host := d.parse()
	return host != "" && (u.Scheme == "postgres" || u.Scheme == "postgresql") && len(u.Path) > 1
}

// unread returns a fault for each table that is to be compared and not read.
func (c Config) unread(read map[parallax.Leg]map[string]bool) (faults []parallax.Fault) {
	for i, t := range c.Tables {
		theirs := t.Candidate
		if theirs == "" {
			theirs = t.Primary
		}
		if t.Primary != "" && !read[parallax.Primary][t.Primary] && !c.called(t.Primary) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("tables[%d].primary", i), Text: fmt.Sprintf("%q is not read from any database of the primary", t.Primary), Hint: "add it to primary[].tables"})
		}
		if theirs != "" && !read[parallax.Candidate][theirs] && !c.called(theirs) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("tables[%d].candidate", i), Text: fmt.Sprintf("%q is not read from any database of the candidate", theirs), Hint: "add it to candidate[].tables"})
		}
	}
	return faults
}

// columnPrefix stands before the column in a correlation.
const columnPrefix = "column:"

func (c Config) validateCorrelate() (faults []parallax.Fault) {
	const hint = "write some of tag, trace, column:NAME and key"
	if len(c.Correlate) == 0 {
		faults = append(faults, parallax.Fault{Path: "correlate", Text: "is empty: no change would find its exchange", Hint: hint})
	}
	for i, how := range c.Correlate {
		add := func(text string) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("correlate[%d]", i), Text: text, Hint: hint})
		}
		name, column := strings.CutPrefix(how, columnPrefix)
		switch {
		case slices.Index(c.Correlate, how) < i:
			add(fmt.Sprintf("%q is listed twice", how))
		case column && name == "":
			add("names no column")
		case !column && how != "tag" && how != "trace" && how != "key":
			add(fmt.Sprintf("%.40q is none of them", how))
		}
	}
	return faults
}

// correlations is which ways of finding an exchange are on.
type correlations struct {
	tag, trace, key bool
	columns         []string
}

func (c Config) correlations() (on correlations) {
	for _, how := range c.Correlate {
		switch name, column := strings.CutPrefix(how, columnPrefix); {
		case column:
			on.columns = append(on.columns, name)
		case how == "tag":
			on.tag = true
		case how == "trace":
			on.trace = true
		case how == "key":
			on.key = true
		}
	}
	return on
}
