package demo

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary play a part in a test instead of running
// tests: "server" is a backend, "parent" supervises one until it is killed.
const roleVariable = "PARALLAX_DEMO_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "server":
		serveBackend()
	case "parent":
		superviseBackend()
	default:
		goleak.VerifyTestMain(m)
	}
}

// serveBackend answers every request with its process id on -host and -port.
func serveBackend() {
	host := flag.String("host", "", "")
	port := flag.String("port", "", "")
	flag.Parse()
	err := http.ListenAndServe(net.JoinHostPort(*host, *port), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, os.Getpid())
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// superviseBackend runs the backend on the address and with the log it is given.
func superviseBackend() {
	b := testBackend(os.Args[1], os.Args[2])
	fmt.Fprintln(os.Stderr, b.Run(context.Background()))
	os.Exit(1)
}

func testBackend(addr, log string) *Backend {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, roleVariable+"=") {
			env = append(env, pair)
		}
	}
	return &Backend{Name: "test", Bin: os.Args[0], Addr: addr, Log: log, Env: append(env, roleVariable+"=server")}
}

// installed returns the paths of both releases, in the cache that the demo uses.
var installed = sync.OnceValues(func() (paths [2]string, err error) {
	cache, err := Cache(os.Getenv)
	if err != nil {
		return paths, err
	}
	for i, release := range []Release{Old, New} {
		if paths[i], err = release.Install(context.Background(), cache); err != nil {
			return paths, err
		}
	}
	return paths, nil
})

// releases starts one instance of each release and returns their base URLs.
func releases(t *testing.T) (old, candidate string) {
	t.Helper()
	if testing.Short() {
		t.Skip("installs two releases of go-httpbin")
	}
	paths, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	var urls [2]string
	for i, path := range paths {
		b := &Backend{Name: Old.Version, Bin: path, Addr: addrs[i], Log: t.TempDir() + "/log"}
		run(t, b)
		urls[i] = b.URL()
	}
	return urls[0], urls[1]
}

// run runs a backend for the length of a test and waits until it answers.
func run(t *testing.T, b *Backend) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	ready, done := context.WithTimeout(ctx, backendPatience)
	defer done()
	if err := b.Ready(ready); err != nil {
		t.Fatal(err)
	}
}
