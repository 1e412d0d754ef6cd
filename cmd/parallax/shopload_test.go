package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
)

// loadWish is how hard `make bench-shop` tries.
type loadWish struct {
	how   string // tag or trace
	rate  float64
	span  time.Duration
	count int // of shoppers
}

// wishOf reads what SHOP_HOW, SHOP_RATE, SHOP_FOR and SHOP_SHOPPERS ask for. Without
// SHOP_HOW nothing is measured.
func wishOf(t *testing.T) loadWish {
	t.Helper()
	w := loadWish{how: os.Getenv("SHOP_HOW")}
	if w.how == "" {
		t.Skip("`make bench-shop` measures this")
	}
	var errs [3]error
	w.rate, errs[0] = strconv.ParseFloat(cmp.Or(os.Getenv("SHOP_RATE"), "500"), 64)
	w.span, errs[1] = time.ParseDuration(cmp.Or(os.Getenv("SHOP_FOR"), "60s"))
	w.count, errs[2] = strconv.Atoi(cmp.Or(os.Getenv("SHOP_SHOPPERS"), "32"))
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if w.how != "tag" && w.how != "trace" {
		t.Fatalf("SHOP_HOW=%s: write tag or trace", w.how)
	}
	return w
}

// lazyGC is how shops and shoppers collect garbage, in percent: they have the machine's cores
// from the others, and keep little.
const lazyGC = 1600

// TestShopLoad is `make bench-shop`: shoppers go through Parallax to both versions of the
// demo shop, everything in processes of its own and each version with a PostgreSQL of its
// own, and it is told what that costs and what came of it. Processor time a request
// holds on a machine that does other things as well.
func TestShopLoad(t *testing.T) {
	w := wishOf(t)
	defer debug.SetGCPercent(debug.SetGCPercent(lazyGC))
	s := startLoad(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), w.span)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: w.count}
	defer transport.CloseIdleConnections()
	before, began := s.used(t), time.Now()
	counts := shoppers.Run(ctx, shoppers.Options{Base: s.Services["shop"], Count: w.count, Seed: 1, Rate: w.rate, HTTP: transport})
	took := time.Since(began)
	r := settled(t, s.Parallax, counts.Sent)
	after := s.used(t)

	out := &strings.Builder{}
	writes := counts.Sent - counts.Routes["GET /products"] - counts.Routes["GET /orders"] - counts.Routes["GET /orders/{id}"]
	fmt.Fprintf(out, "%s: %d requests in %.0f s, %.0f/s of %.0f wanted, %.0f %% of them writes, %d callers with errors %v\n",
		w.how, counts.Sent, took.Seconds(), float64(counts.Sent)/took.Seconds(), w.rate, share(writes, counts.Sent), counts.Errors, counts.Examples)
	writeUsed(out, before, after, counts.Sent)
	writeCompared(out, r)
	writeFound(t, out, s.Parallax)
	writeBarriers(t, out, s.Parallax)
	t.Log("\n" + out.String())
	if counts.Errors > 0 || r.Accounting.Compared["diverged"] > 0 {
		t.Errorf("callers saw errors, or the versions that write the same diverge")
	}
}

// load is everything that runs under load.
type load struct {
	*rig.Parallax
	roots []root
}

// root is a process that is measured together with those that it started.
type root struct {
	name string
	pid  int
}

func startLoad(t *testing.T, w loadWish) *load {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "demoshop")
	if out, err := exec.Command("go", "build", "-o", binary, "parallax/cmd/demoshop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s := &load{roots: []root{{"shoppers", os.Getpid()}}}
	var urls, dsns [2]string
	for i, version := range []string{shop.Old, shop.New} {
		server := rig.Postgres(t, "shared_buffers=128MB", "max_wal_size=4GB")
		server.SQL("postgres", "CREATE DATABASE shop")
		dsns[i] = server.DSN("shop")
		args := []string{"--version", version, "--listen", "127.0.0.1:0", "--dsn", server.SocketDSN("shop"), "--tag"}
		if w.how == "trace" {
			args[len(args)-1] = "--comments"
		}
		var pid int
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOGC=%d", lazyGC))
		urls[i], pid = startShop(t, cmd)
		if w.how == "trace" {
			installTrigger(t, shop.Options{Version: version, DSN: dsns[i]})
		}
		s.roots = append(s.roots, root{version + " shop", pid}, root{version + " database", server.PID()})
	}
	s.Parallax = rig.Start(t, twoShopsConfig(t, urls[0], urls[1], dsns[0], dsns[1], w.how))
	s.roots = append(s.roots, root{"Parallax", s.PID()})
	untilRead(t, s.Parallax)
	return s
}

// startShop starts a shop, and returns where it is open.
func startShop(t *testing.T, cmd *exec.Cmd) (url string, pid int) {
	t.Helper()
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "is open on "); ok {
			return url, cmd.Process.Pid
		}
	}
	t.Fatal("the shop did not open")
	return "", 0
}

// used returns how much processor time each part has taken: a process by its root's name,
// and what it started by what that is.
func (s *load) used(t *testing.T) map[string]time.Duration {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Duration{}
	for _, p := range all {
		for _, r := range s.roots {
			switch {
			case p.pid == r.pid:
				out[r.name] += p.own
				if strings.HasSuffix(r.name, "database") {
					out[r.name] += p.ended // its backends
				}
			case p.parent == r.pid && r.name == "Parallax":
				out["its store"] += p.own
			case p.parent == r.pid && strings.HasSuffix(r.name, "database") && strings.Contains(p.command, "walsender"):
				out[r.name+": decoding"] += p.own
			case p.parent == r.pid && strings.HasSuffix(r.name, "database"):
				out[r.name] += p.own
			}
		}
	}
	return out
}

// process is what /proc says of one.
type process struct {
	pid, parent int
	command     string
	own, ended  time.Duration // of itself, and of its children that have ended
}

func processes() ([]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	var out []process
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 15 {
			continue
		}
		numbers := make([]int64, 15)
		for i, field := range fields[:15] {
			numbers[i], _ = strconv.ParseInt(field, 10, 64) // the first is a letter
		}
		dir := filepath.Dir(file)
		pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern says so
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		const tick = time.Second / 100 // USER_HZ of Linux
		out = append(out, process{pid: pid, parent: int(numbers[1]), command: string(command),
			own: time.Duration(numbers[11]+numbers[12]) * tick, ended: time.Duration(numbers[13]+numbers[14]) * tick})
	}
	return out, err
}

func share(part, all int64) float64 { return 100 * float64(part) / float64(max(all, 1)) }

func writeUsed(out io.Writer, before, after map[string]time.Duration, requests int64) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	var names []string
	var sum time.Duration
	for name := range after {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		d := after[name] - before[name]
		sum += d
		fmt.Fprintf(table, "%s\t%.3f ms a request\t\n", name, d.Seconds()*1e3/float64(requests))
	}
	fmt.Fprintf(table, "together\t%.3f ms a request\t\n", sum.Seconds()*1e3/float64(requests))
	table.Flush()
}

func writeCompared(out io.Writer, r reports.Report) {
	reasons := map[string]int64{}
	for _, e := range r.Endpoints {
		for reason, n := range e.NotComparableReasons {
			reasons[reason] += n
		}
	}
	fmt.Fprintf(out, "compared %v, not comparable for %v, lost %v\n", r.Accounting.Compared, reasons, r.Accounting.Lost)
}

// writeFound says how the exchange of each change was found.
func writeFound(t *testing.T, out io.Writer, p *rig.Parallax) {
	t.Helper()
	var got struct {
		Counts []struct {
			Count string
			N     int64
		}
	}
	before := int64(-1)
	sums, all := map[string]int64{}, int64(0)
	rig.Eventually(t, "the last counts of effects", func() error {
		if err := p.JSON("/api/v1/services/shop/effects", &got); err != nil {
			return err
		}
		sums, all = map[string]int64{}, 0
		for _, c := range got.Counts {
			sums[c.Count] += c.N
			all += c.N
		}
		if all == 0 || all != before {
			before = all
			return fmt.Errorf("%v", sums)
		}
		return nil
	})
	fmt.Fprintf(out, "%d changes, found by %v\n", all, sums)
}

// writeBarriers says how long the databases' logs were waited for.
func writeBarriers(t *testing.T, out io.Writer, p *rig.Parallax) {
	t.Helper()
	answer, err := http.Get(p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	type bucket struct {
		le float64 // seconds
		n  int64
	}
	var list []bucket
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), `parallax_effects_barrier_seconds_bucket{le="`)
		if !ok {
			continue
		}
		le, n, _ := strings.Cut(rest, `"} `)
		var b bucket
		b.le, err = strconv.ParseFloat(le, 64)
		if err == nil {
			b.n, err = strconv.ParseInt(n, 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		t.Fatal("there is no histogram of barriers")
	}
	all := list[len(list)-1].n
	fmt.Fprintf(out, "%d barriers:", all)
	for _, b := range list {
		fmt.Fprintf(out, " %.0f ms %.2f %%", b.le*1e3, share(b.n, all))
	}
	for _, q := range []float64{.5, .99} {
		lower := bucket{}
		for _, b := range list {
			if float64(b.n) >= q*float64(all) {
				fmt.Fprintf(out, "; p%.0f %.0f ms", q*100, 1e3*(lower.le+(b.le-lower.le)*(q*float64(all)-float64(lower.n))/float64(max(b.n-lower.n, 1))))
				break
			}
			lower = b
		}
	}
	fmt.Fprintln(out)
}
