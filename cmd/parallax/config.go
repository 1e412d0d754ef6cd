package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects"
	"parallax/compare/effects/egress"
	"parallax/internal/github"
	"parallax/internal/ids/redis"
	"parallax/internal/notices"
	"parallax/internal/yamlstrict"
	"parallax/mirror"
	"parallax/mirror/openapi"
	"parallax/mirror/redisqueue"
	"parallax/mirror/split"
	splitredis "parallax/mirror/split/redis"
	"parallax/reports"
)

// Config is the whole configuration. Each room owns, documents and validates its
// own part; this file only joins them.
type Config struct {
	Admin    AdminConfig `yaml:"admin" doc:"the pages, the API and the metrics"`
	Store    StoreConfig `yaml:"store" doc:"where divergences are kept"`
	StateDir string      `yaml:"state_dir" doc:"folder for what must survive a restart: the step of each service"`
	Keys     string      `yaml:"keys" doc:"file with the installation's secret; made at the first start, mode 0600, shared by mirrors that work together"`
	Queue    QueueConfig `yaml:"queue" doc:"the queue between mirroring and comparing"`

	Identifiers redis.Config `yaml:"identifiers" doc:"where what services declare in identifiers is kept: in each process, or in a Redis that mirrors share"`

	Steps splitredis.Config `yaml:"steps" doc:"where the step of each service is: in each process, or in a Redis that mirrors share"`

	Notify []notices.Receiver `yaml:"notify" doc:"who is told of new and regressed issues, of another verdict and of rollbacks, by webhooks (docs/notifications.md)"`

	GitHub github.Config `yaml:"github" doc:"deployments of GitHub Actions that wait for a verdict (docs/ci.md)"`

	Services []ServiceConfig `yaml:"services" doc:"what is under migration"`

	roles roles // of this process; the command line says which
}

// AdminConfig is the admin listener.
type AdminConfig struct {
	Listen string             `yaml:"listen" doc:"address of the admin listener, such as 127.0.0.1:7070; one that other machines reach takes tokens"`
	Hosts  []string           `yaml:"hosts" doc:"names that it goes by besides localhost and addresses, such as parallax.internal; requests for others are refused, as those of pages of other sites would be"`
	Tokens string             `yaml:"tokens" doc:"file with the hashes of the tokens that callers need, and their roles (docs/security.md); read again when it changes; empty: whoever reaches the listener may do everything"`
	URL    string             `yaml:"url" doc:"where people reach the pages, such as https://parallax.internal, for links in notifications; empty: links are paths"`
	TLS    mirror.ListenerTLS `yaml:"tls" doc:"how the admin listener is reached over TLS; without it tokens are sent in the clear"`
}

// StoreConfig is the store. With an empty DSN the engine runs inside, in Dir.
type StoreConfig struct {
	ClickHouse   string        `yaml:"clickhouse" doc:"DSN of a ClickHouse server, such as http://user:password@host:8123/parallax, or unix:///run/parallax/engine for the engine that another process shows by socket; empty: the embedded engine"`
	PasswordFile string        `yaml:"password_file" doc:"file with the password for the user in clickhouse, read at the start; empty: the one in the address, or none"`
	CA           string        `yaml:"ca" doc:"file with the certificates that the certificate of an https address, or of a clickhouse one with secure=true, is issued by, PEM; read at the start; empty: those the system trusts"`
	Cert         string        `yaml:"cert" doc:"file with the certificate that Parallax shows the ClickHouse server, PEM; read again for each connection; empty: none"`
	Key          string        `yaml:"key" doc:"file with that certificate's private key, PEM"`
	Dir          string        `yaml:"dir" doc:"data folder of the embedded engine"`
	Socket       string        `yaml:"socket" doc:"where other processes of the same user find the embedded engine: they name it as clickhouse: unix:///run/parallax/engine; empty: nowhere"`
	Listen       string        `yaml:"listen" doc:"loopback address, such as 127.0.0.1:8123, where whoever can log in to this machine may read the embedded engine's tables over ClickHouse's HTTP interface, with curl or Grafana; empty: nowhere"`
	MaxDisk      parallax.Size `yaml:"max_disk" doc:"what the embedded engine's tables may take on disk; past it the oldest bodies are dropped, then the oldest rows, and counted, never the evidence; 0: no bound"`
}

// leastDisk is the least that store.max_disk may be: less would be gone with a
// few bodies.
const leastDisk = 64 << 20

// QueueConfig is the queue between mirroring and comparing, in this process or in a Redis.
type QueueConfig struct {
	Exchanges int           `yaml:"exchanges" doc:"how many exchanges may wait to be compared; more are dropped and counted"`
	Memory    parallax.Size `yaml:"memory" doc:"how many bytes of bodies may wait; in redis, how many bytes of exchanges, compressed"`
	Workers   int           `yaml:"workers" doc:"how many exchanges a process compares at once"`

	redisqueue.Config `yaml:",inline"`
}

// ServiceConfig is one service under migration.
type ServiceConfig struct {
	mirror.Service `yaml:",inline"`
	Rules          []compare.Rule       `yaml:"rules" doc:"which differences are meant"`
	Redact         compare.RedactConfig `yaml:"redact" doc:"what is replaced before anything is stored, on top of the built-in list"`
	Effects        effects.Config       `yaml:"effects" doc:"the databases that the legs write to, and how what they commit is compared"`
	Promotion      reports.Promotion    `yaml:"promotion" doc:"when the candidate may take over"`
	Egress         egress.Config        `yaml:"egress" doc:"a forward proxy for the calls that the legs make to others, so that a shadow's do no harm and both versions' are compared"`

	Protobuf compare.ProtobufConfig `yaml:"protobuf" doc:"what the messages of gRPC and protobuf are, so that they are compared field by field"`
	messages *compare.Messages      // what Protobuf says; whoever reads the configuration fills it in

	Descriptors string `yaml:"-"` // the hash of messages, so that a reload sees another file of the same name
}

// SetDefaults makes a service start from the defaults of its rooms.
func (s *ServiceConfig) SetDefaults() {
	s.Primary, s.Candidate, s.Secondary = mirror.DefaultLeg(), mirror.DefaultLeg(), mirror.DefaultLeg()
	s.Timeouts, s.Mirror = mirror.DefaultTimeouts(), mirror.DefaultOptions()
	s.Effects = effects.DefaultConfig()
	s.Promotion = reports.DefaultPromotion()
	s.Egress = egress.DefaultConfig()
}

func defaultConfig() Config {
	return Config{
		Admin:    AdminConfig{Listen: "127.0.0.1:7070"},
		Store:    StoreConfig{Dir: "./parallax-data", MaxDisk: 10 << 30},
		StateDir: "./parallax-state",
		Keys:     "parallax-keys",
		Queue:    QueueConfig{Exchanges: 20_000, Memory: 256 << 20, Workers: 2, Config: redisqueue.DefaultConfig()},

		Identifiers: redis.DefaultConfig(),
		Steps:       splitredis.DefaultConfig(),
		GitHub:      github.DefaultConfig(),
	}
}

// loadConfig reads and validates a configuration file. It returns every fault
// there is, in the order of their lines; the error says that there is no file to
// read.
func loadConfig(file string) (Config, []yamlstrict.Fault, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c, faults := parseConfig(file, data)
	return c, faults, nil
}

func parseConfig(file string, data []byte) (Config, []yamlstrict.Fault) {
	c := defaultConfig()
	doc, faults := yamlstrict.Decode(file, data, &c)
	underFile(file, &c.GitHub.SecretFile, &c.GitHub.KeyFile)
	for i := range c.Notify {
		underFile(file, &c.Notify[i].URLFile, &c.Notify[i].SecretFile)
	}
	underFile(file, &c.Admin.Tokens, &c.Admin.TLS.Cert, &c.Admin.TLS.Key, &c.Admin.TLS.ClientCA)
	underFile(file, &c.Store.PasswordFile, &c.Store.Socket, &c.Store.CA, &c.Store.Cert, &c.Store.Key)
	underFile(file, &c.Queue.PasswordFile, &c.Queue.CA, &c.Queue.Cert, &c.Queue.Key)
	underFile(file, &c.Identifiers.PasswordFile, &c.Identifiers.CA, &c.Identifiers.Cert, &c.Identifiers.Key)
	underFile(file, &c.Steps.PasswordFile, &c.Steps.CA, &c.Steps.Cert, &c.Steps.Key)
	for i := range c.Services {
		c.Services[i].Effects.Calls = c.Services[i].Egress.Names()
		c.Services[i].Split.UnderFile(func(p *string) { underFile(file, p) })
	}
	unread := faults // a value that could not be read, or not wholly, is not judged too
	for _, f := range c.Validate() {
		if !slices.ContainsFunc(unread, func(u yamlstrict.Fault) bool {
			return inside(u.Path, f.Path) || u.Path != "" && inside(f.Path, u.Path) || u.Path == "" && f.Path == "services"
		}) {
			faults = append(faults, doc.At(f.Path, f.Text, f.Hint))
		}
	}
	for i := range c.Services {
		for _, f := range c.Services[i].readOpenAPI(file) {
			faults = append(faults, doc.At(fmt.Sprintf("services[%d].openapi", i), f.Text, f.Hint))
		}
		for _, f := range c.Services[i].readProtobuf(file) {
			faults = append(faults, doc.At(fmt.Sprintf("services[%d].%s", i, f.Path), f.Text, f.Hint))
		}
	}
	c.Store.Dir, c.StateDir, c.Keys = under(file, c.Store.Dir), under(file, c.StateDir), under(file, c.Keys)
	slices.SortStableFunc(faults, func(a, b yamlstrict.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return c, faults
}

// Validate returns everything that is wrong with the values of c.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	faults = append(faults, parallax.Under("admin", c.Admin.Validate())...)
	if c.Store.ClickHouse == "" && c.Store.Dir == "" {
		add("store.dir", "is empty", "name a folder for the embedded engine, or a server in store.clickhouse")
	}
	if _, err := storeOptions(c.Store.ClickHouse); err != nil && c.Store.ClickHouse != "" {
		add("store.clickhouse", err.Error(), "write it like https://user:password@host:8443/parallax")
	}
	faults = append(faults, c.Store.passwordFaults()...)
	faults = append(faults, parallax.Under("store", c.Store.tlsFaults())...)
	if c.Store.MaxDisk < 0 || c.Store.MaxDisk > 0 && c.Store.MaxDisk < leastDisk {
		add("store.max_disk", fmt.Sprintf("%s is too little to keep anything", c.Store.MaxDisk), "write 64MiB or more, or 0 for no bound")
	}
	if c.Store.Listen != "" {
		if text := notLoopback(c.Store.Listen); text != "" {
			add("store.listen", text, "write a loopback address such as 127.0.0.1:8123; reading needs no password there")
		} else if c.Store.ClickHouse != "" {
			add("store.listen", "there is no embedded engine to listen: store.clickhouse names a server", "leave out one of them")
		}
	}
	if c.Store.Socket != "" && c.Store.ClickHouse != "" {
		add("store.socket", "there is no embedded engine to show: store.clickhouse names another store", "leave out one of them")
	}
	if c.StateDir == "" {
		add("state_dir", "is empty", "name a folder")
	}
	if c.Keys == "" {
		add("keys", "is empty", "name a file")
	}
	if c.Queue.Exchanges < 1 || c.Queue.Memory < 1 || c.Queue.Workers < 1 {
		add("queue", "exchanges, memory and workers must be at least 1", "")
	}
	faults = append(faults, parallax.Under("queue", c.Queue.Config.Validate())...)
	faults = append(faults, parallax.Under("identifiers", c.Identifiers.Validate())...)
	faults = append(faults, parallax.Under("steps", c.Steps.Validate())...)
	faults = append(faults, c.notifyFaults()...)
	faults = append(faults, parallax.Under("github", append(c.GitHub.Validate(), c.unknownServices()...))...)
	if len(c.Services) == 0 {
		add("services", "there is none", "describe at least one service with name, listen, primary and candidate")
	}
	return append(faults, c.validateServices()...)
}

// unknownServices names the services that deployments ask for and that there are not.
func (c Config) unknownServices() []parallax.Fault {
	var faults []parallax.Fault
	for i, d := range c.GitHub.Deployments {
		if d.Service != "" && !slices.ContainsFunc(c.Services, func(s ServiceConfig) bool { return s.Name == d.Service }) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("deployments[%d].service", i), Text: fmt.Sprintf("there is no service %q", d.Service), Hint: "name one of services"})
		}
	}
	return faults
}

// Validate returns everything that is wrong with the block, its files included.
func (c AdminConfig) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if text := notLoopback(c.Listen); text != "" && (c.Tokens == "" || strings.HasSuffix(text, "is not an address")) {
		faults = append(faults, parallax.Fault{Path: "listen", Text: text, Hint: "write a loopback address such as 127.0.0.1:7070; other addresses need tokens: see parallax token"})
	}
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, ":/ ") {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("hosts[%d]", i), Text: fmt.Sprintf("%q is not a name", h), Hint: "write it without scheme and port, such as parallax.internal"})
		}
	}
	if c.Tokens != "" {
		faults = append(faults, tokenFaults(c.Tokens)...)
	}
	return append(faults, parallax.Under("tls", c.TLS.Validate())...)
}

// tokenFaults says what is wrong with a file of tokens, each with its place in it.
func tokenFaults(file string) []parallax.Fault {
	_, faults, err := readTokens(file)
	if err != nil {
		return []parallax.Fault{{Path: "tokens", Text: err.Error()}}
	}
	var out []parallax.Fault
	for _, f := range faults {
		out = append(out, parallax.Fault{Path: "tokens", Text: f.Error()})
	}
	return out
}

func (c Config) validateServices() []parallax.Fault {
	var faults []parallax.Fault
	names, listens := map[string]int{}, map[string]string{c.Admin.Listen: "admin.listen", c.Store.Listen: "store.listen"}
	for i, s := range c.Services {
		at := fmt.Sprintf("services[%d]", i)
		found := s.validate()
		if first, ok := names[s.Name]; ok {
			found = append(found, parallax.Fault{Path: "name", Text: fmt.Sprintf("%q is the name of services[%d] too", s.Name, first)})
		}
		if len(s.Split.Groups) > 0 && c.Steps.URL != "" {
			found = append(found, parallax.Fault{Path: "split.groups", Text: "steps.redis shares one step a service, and groups have several", Hint: "leave out one of both"})
		}
		found = append(found, c.notThroughRedis(s)...)
		names[s.Name] = i
		for _, l := range []struct{ key, address string }{{"listen", s.Listen}, {"egress.listen", s.Egress.Listen}} {
			if other, ok := listens[l.address]; ok && l.address != "" && !strings.HasSuffix(l.address, ":0") {
				found = append(found, parallax.Fault{Path: l.key, Text: fmt.Sprintf("%q is taken by %s", l.address, other)})
			}
			listens[l.address] = at + "." + l.key
		}
		faults = append(faults, parallax.Under(at, found)...)
	}
	return faults
}

// notThroughRedis says what of a service does not go with a queue in Redis.
func (c Config) notThroughRedis(s ServiceConfig) []parallax.Fault {
	var faults []parallax.Fault
	if c.Queue.URL != "" && s.Effects.Configured() {
		faults = append(faults, parallax.Fault{Path: "effects", Text: "databases are not read with queue.redis yet: several workers would each see what the exchanges of the others did", Hint: "leave out one of both"})
	}
	if c.Queue.URL != "" && s.Egress.Configured() {
		faults = append(faults, parallax.Fault{Path: "egress", Text: "calls are not compared with queue.redis yet: the process that sees them may not be the one that compares", Hint: "leave out one of both"})
	}
	return faults
}

// readOpenAPI lists the endpoints of the service's OpenAPI document, which is
// named as seen from the configuration's file.
func (s *ServiceConfig) readOpenAPI(file string) []parallax.Fault {
	if s.OpenAPI == "" {
		return nil
	}
	s.OpenAPI = under(file, s.OpenAPI)
	var err error
	if s.Documented, err = openapi.Endpoints(s.OpenAPI); err == nil {
		return nil
	}
	var faults []parallax.Fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		faults = append(faults, parallax.Fault{Text: line, Hint: "correct the document, or list the endpoints in endpoints"})
	}
	return faults
}

func (s ServiceConfig) validate() []parallax.Fault {
	faults := s.Service.Validate()
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		faults = append(faults, parallax.Fault{Path: "listen", Text: fmt.Sprintf("%q is not an address", s.Listen), Hint: "write it like 127.0.0.1:8080 or :8080"})
	}
	_, wrong := compare.Compile(s.Rules)
	faults = append(append(faults, parallax.Under("rules", wrong)...), refusedRules(s.Rules)...)
	_, wrong = compare.NewRedactor(make([]byte, 32), s.Redact)
	faults = append(faults, parallax.Under("redact", wrong)...)
	faults = append(faults, parallax.Under("effects", s.Effects.Validate())...)
	faults = append(faults, parallax.Under("effects", oneDatabase(s, effects.Database.Name))...)
	faults = append(faults, parallax.Under("egress", s.Egress.Validate())...)
	return append(faults, parallax.Under("promotion", append(s.Promotion.Validate(), s.nobodyToMove()...))...)
}

// nobodyToMove says that the policy is to move users, and there are none that can be moved.
func (s ServiceConfig) nobodyToMove() []parallax.Fault {
	switch {
	case !s.Promotion.Auto:
		return nil
	case s.Tap:
		return []parallax.Fault{{Path: "auto", Text: "true moves users, but with tap another proxy serves them", Hint: "write false"}}
	case s.Split.Key == "" && slices.ContainsFunc(s.Promotion.Steps, func(step int) bool { return step > 0 && step < split.Buckets }):
		return []parallax.Fault{{Path: "auto", Text: "true moves users step by step, but split.key does not say who a user is", Hint: "set split.key, or write steps: [0, 10000] to move everybody at once"}}
	}
	return nil
}

// inside says that a path is at another one or below it.
func inside(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && (rest == "" || other == "" || rest[0] == '.' || rest[0] == '[')
}

// notLoopback says what is wrong with an admin address, or "".
func notLoopback(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Sprintf("%q is not an address", address)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	return fmt.Sprintf("%q can be reached from other machines", address)
}

// schema is the JSON Schema of the configuration file.
func schema() ([]byte, error) {
	s := yamlstrict.Schema(reflect.TypeFor[Config]())
	s["title"] = "Parallax configuration"
	return json.MarshalIndent(s, "", "  ")
}

// underFile changes the paths that are given to what they are as seen from the
// folder that file lies in.
func underFile(file string, paths ...*string) {
	for _, p := range paths {
		if *p != "" {
			*p = under(file, *p)
		}
	}
}

// under returns path as seen from the folder that file lies in, so that a
// configuration means the same from wherever Parallax is started.
func under(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}
