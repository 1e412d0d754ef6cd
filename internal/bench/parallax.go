//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parallaxConfig is what a user would write, but for a queue that holds a burst
// and legs on this machine.
const parallaxConfig = `
admin: { listen: %[6]q }
store: { dir: data }
state_dir: state
keys: keys
queue: { exchanges: %[4]d, memory: %[5]s }
services:
- name: bench
  listen: "127.0.0.1:0"
  primary: { urls: ["http://%[1]s"] }
  candidate: { urls: ["http://%[2]s"], state: none }
  endpoints: ["GET /items/{id}", "POST /items", "POST /uploads/{id}"]
  mirror: { unsafe: allowed%[3]s }
`

// Bounds of the queue between mirroring and comparing.
const (
	queueExchanges = 1_000_000
	queueMemory    = "4GiB"
)

// mirrorOptions are keys of the mirror block besides unsafe; zero values are
// left to the product's defaults.
type mirrorOptions struct {
	inFlight int
	maxBody  string
	admin    string // address of the pages; empty: a free one
}

func (o mirrorOptions) String() string {
	var s string
	if o.inFlight > 0 {
		s += fmt.Sprintf(", in_flight: %d", o.inFlight)
	}
	if o.maxBody != "" {
		s += ", max_body: " + o.maxBody
	}
	return s
}

// parallax is a running Parallax.
type parallax struct {
	proxy
	admin    string
	profiles string // base URL of profiles; empty in a normal build
	since    time.Time
}

// startParallax starts the whole product in a folder of its own and waits until
// its store answers.
func startParallax(ctx context.Context, l *lab, binary, name, primary, candidate string, o mirrorOptions) (*parallax, error) {
	dir, err := os.MkdirTemp(l.dir, "parallax-")
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	file := filepath.Join(dir, "parallax.yaml")
	text := fmt.Sprintf(parallaxConfig, primary, candidate, o, queueExchanges, queueMemory, cmp.Or(o.admin, "127.0.0.1:0"))
	if err := os.WriteFile(file, []byte(strings.TrimLeft(text, "\n")), 0o600); err != nil {
		return nil, fmt.Errorf("cannot configure %s: %w", name, err)
	}
	p := &parallax{since: time.Now().Add(-time.Minute)}
	if p.process, err = l.start(name, binary, "serve", "-c", file); err != nil {
		return nil, err
	}
	if err := p.readAddresses(); err != nil {
		return nil, err
	}
	return p, p.eventually(ctx, patience, func() error { _, err := p.accounting(ctx); return err })
}

// readAddresses reads what serve prints, up to the last of its addresses.
func (p *parallax) readAddresses() error {
	for p.admin == "" {
		text, err := p.line()
		if err != nil {
			return err
		}
		for prefix, address := range map[string]*string{
			"profiles are on ":               &p.profiles,
			"bench is served on http://":     &p.address,
			"pages, API and metrics are on ": &p.admin,
		} {
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				*address = rest
			}
		}
	}
	return nil
}

// accounting says what became of the requests that Parallax received since it
// was started.
type accounting struct {
	Received   int64            `json:"received"`
	Unmirrored map[string]int64 `json:"unmirrored"`
	Compared   map[string]int64 `json:"compared"`
	Lost       map[string]int64 `json:"lost"`
	InFlight   int64            `json:"in_flight"`
}

var adminClient = &http.Client{Timeout: 10 * time.Second}

func (p *parallax) accounting(ctx context.Context) (accounting, error) {
	var report struct {
		Accounting accounting `json:"accounting"`
	}
	window := url.Values{"from": {p.since.UTC().Format(time.RFC3339)}}
	err := getJSON(ctx, p.admin+"/api/v1/services/bench/report?"+window.Encode(), &report)
	return report.Accounting, err
}

// postEmpty posts nothing and wants 200.
func postEmpty(ctx context.Context, address string) error {
	return askAdmin(ctx, http.MethodPost, address, io.Discard)
}

func getJSON(ctx context.Context, address string, into any) error {
	var body bytes.Buffer
	if err := askAdmin(ctx, http.MethodGet, address, &body); err != nil {
		return err
	}
	return json.Unmarshal(body.Bytes(), into)
}

// askAdmin wants 200, and copies the answer's body.
func askAdmin(ctx context.Context, method, address string, body io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	resp, err := adminClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	_, err = io.Copy(body, resp.Body)
	return err
}

// drainWithin is how long Parallax may take to compare and store what is left
// after a measurement.
const drainWithin = 2 * time.Minute

// drained waits until nothing is in flight any more and returns how long it took.
// It asks the metrics, since each report would cost the engine a reading of all
// that it holds, and be counted among what storing costs.
func (p *parallax) drained(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	err := p.eventually(ctx, drainWithin, func() error {
		n, err := p.inFlight(ctx)
		if err == nil && n > 0 {
			err = fmt.Errorf("%g exchanges are still in flight", n)
		}
		return err
	})
	return time.Since(start), err
}

// inFlight returns how many exchanges are on their way.
func (p *parallax) inFlight(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := adminClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/metrics answered %s", resp.Status)
	}
	if err != nil {
		return 0, err
	}
	return sumOf(string(text), "parallax_in_flight")
}

// sumOf adds up the values of a metric, whatever its labels.
func sumOf(metrics, name string) (sum float64, err error) {
	found := false
	for line := range strings.Lines(metrics) {
		labels, ok := strings.CutPrefix(line, name+"{")
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(labels[strings.LastIndexByte(labels, '}')+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read the metric %q: %w", line, err)
		}
		found, sum = true, sum+value
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}

// kept says which shares of the requests were not mirrored, and were mirrored
// but not compared.
type kept struct {
	received         int64
	unmirrored, lost float64 // shares of received
	why              string  // reasons of both, with shares
}

// since returns what became of the requests after an earlier accounting.
func (a accounting) since(before accounting) kept {
	k := kept{received: a.Received - before.Received}
	var why []string
	share := func(now, then map[string]int64) (sum float64) {
		for reason, n := range now {
			if n -= then[reason]; n > 0 && k.received > 0 {
				part := float64(n) / float64(k.received)
				sum += part
				why = append(why, fmt.Sprintf("%s %s", reason, percent(part)))
			}
		}
		return sum
	}
	k.unmirrored = share(a.Unmirrored, before.Unmirrored)
	k.lost = share(a.Lost, before.Lost)
	slices.Sort(why)
	k.why = strings.Join(why, ", ")
	return k
}

// errNothingCompared says that a figure would be that of a proxy, not a mirror.
var errNothingCompared = errors.New("it compared nothing; its configuration or the backends are broken")

// compared returns how many exchanges were compared, whatever came of it.
func (a accounting) compared() (n int64) {
	for _, each := range a.Compared {
		n += each
	}
	return n
}
