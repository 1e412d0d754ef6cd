package notices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"parallax/divergence"
	"parallax/internal/signature"
	"parallax/reports"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func issue(n int, first time.Time) divergence.IssueNews {
	return divergence.IssueNews{Fingerprint: fmt.Sprintf("1-%016x", n), Endpoint: "GET /orders/{id}", Path: "$.price", Kind: "changed", First: first}
}

func verdict(d reports.Decision) *reports.Verdict {
	return &reports.Verdict{Decision: d, AsOf: noon, Reasons: []reports.Reason{{Code: reports.NoTraffic}}}
}

func texts(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, string(e.Kind)+": "+e.Text)
	}
	return out
}

// TestSince: each thing is told once, what was there before the first look never, and what is
// stored late is.
func TestSince(t *testing.T) {
	t.Parallel()
	at := pages{"https://p", "shop"}
	old := issue(1, noon.Add(-time.Minute))
	m := begin(News{At: noon, Verdict: verdict(reports.Hold), State: reports.State{Step: 500}, Issues: []divergence.IssueNews{old}})
	look := func(n News, want ...string) {
		t.Helper()
		var events []Event
		events, m = m.since(n, at)
		if diff := cmp.Diff(want, texts(events)); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", n.At.Format(time.TimeOnly), diff)
		}
	}
	state := reports.State{Step: 500}
	look(News{At: noon.Add(time.Minute), Verdict: verdict(reports.Hold), State: state, Issues: []divergence.IssueNews{old}})
	late := issue(2, noon.Add(-30*time.Minute)) // stored only now
	look(News{At: noon.Add(2 * time.Minute), State: state, Issues: []divergence.IssueNews{old, late}}, "new_issue: GET /orders/{id}: $.price changed is new")
	look(News{At: noon.Add(3 * time.Minute), State: state, Issues: []divergence.IssueNews{old, late}})
	again := issue(1, noon.Add(-48*time.Hour))
	again.Regressed = noon.Add(4 * time.Minute)
	look(News{At: noon.Add(5 * time.Minute), Verdict: verdict(reports.Rollback), State: reports.State{Who: "policy", Reason: "errors", At: noon.Add(4 * time.Minute)}, Issues: []divergence.IssueNews{again}},
		"rollback: everybody went back to the primary: errors", "verdict: the verdict is rollback, it was hold. Nothing was compared yet", "regressed_issue: GET /orders/{id}: $.price changed counts again after it was resolved")
	look(News{At: noon.Add(6 * time.Minute), Verdict: verdict(reports.Rollback), Issues: []divergence.IssueNews{again}})
	if len(m.Told) != 3 {
		t.Errorf("%d are remembered: %v", len(m.Told), m.Told)
	}
	if look(News{At: noon.Add(3 * time.Hour), Verdict: verdict(reports.Rollback)}); len(m.Told) != 0 {
		t.Errorf("what nobody looks at again is remembered: %v", m.Told)
	}
}

// TestRollbackOfAGroup is told of that group, and of all at once where all went back.
func TestRollbackOfAGroup(t *testing.T) {
	t.Parallel()
	m := Mark{Steps: map[string]int{"": 10_000, "reads": 10_000, "writes": 500}}
	f := func(s reports.State, want ...string) {
		t.Helper()
		events, _ := m.since(News{At: noon, State: s}, pages{service: "shop"})
		if diff := cmp.Diff(want, texts(events)); diff != "" {
			t.Error(diff)
		}
	}
	f(reports.State{Step: 10_000, Groups: map[string]reports.GroupStep{"reads": {Step: 10_000}, "writes": {}}}, "rollback: everybody of writes went back to the primary")
	f(reports.State{Groups: map[string]reports.GroupStep{"reads": {}, "writes": {}}}, "rollback: everybody went back to the primary")
}

// TestMessages: one that holds much says how much is left out, in both formats, and what callers
// could have written into it is text.
func TestMessages(t *testing.T) {
	t.Parallel()
	at := pages{"https://p", "shop"}
	var events []Event
	for i := range 300 {
		n := issue(i, noon)
		n.Path = "$.<!channel>&" + strings.Repeat("x", 4000)
		events = append(events, issueEvent(n, noon.Add(-time.Hour), at))
	}
	m := newMessage(events, "shop", noon, at)
	if len(m.Events) != mostEvents || m.More[NewIssue] != 290 || !strings.HasSuffix(m.Text, "; besides 299 new issues") || m.Events[0].URL != "https://p/services/shop/issues/1-0000000000000000" {
		t.Errorf("%d events, more %v, %s, %s", len(m.Events), m.More, m.Text[len(m.Text)-40:], m.Events[0].URL)
	}
	if other := newMessage(events[1:], "shop", noon, at); other.ID == m.ID || newMessage(events, "shop", noon.Add(time.Hour), at).ID != m.ID {
		t.Error("the id is not that of the events")
	}
	text, err := m.slack()
	if err != nil {
		t.Fatal(err)
	}
	var s slackMessage
	if err := json.Unmarshal(text, &s); err != nil || len(s.Blocks) != mostEvents+2 || len(s.Blocks) > 50 {
		t.Fatalf("%v, %d blocks", err, len(s.Blocks))
	}
	for _, b := range s.Blocks {
		if len([]rune(b.Text.Text)) > 3000 || strings.Contains(b.Text.Text, "<!") || b.Type != "section" || b.Text.Type != "mrkdwn" {
			t.Errorf("%d characters of %+.80v", len(b.Text.Text), b)
		}
	}
	if last := s.Blocks[len(s.Blocks)-1].Text.Text; last != "and 290 more" || !strings.Contains(s.Blocks[1].Text.Text, "&lt;!channel&gt;&amp;") {
		t.Errorf("%q, %.100q", last, s.Blocks[1].Text.Text)
	}
}

// fakeStore keeps marks and issues; away, it answers nothing.
type fakeStore struct {
	mu     sync.Mutex
	issues []divergence.IssueNews
	marks  map[string][]byte
	away   bool
}

func (f *fakeStore) IssueNews(_ context.Context, _ string, since time.Time, count int) (out []divergence.IssueNews, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.issues {
		if !i.First.Before(since) || !i.Regressed.Before(since) {
			out = append(out, i)
		}
	}
	return out[:min(len(out), count)], f.err()
}

func (f *fakeStore) Mark(_ context.Context, service, receiver string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[service+" "+receiver], f.err()
}

func (f *fakeStore) SetMark(_ context.Context, service, receiver string, _ time.Time, mark []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away {
		f.marks[service+" "+receiver] = mark
	}
	return f.err()
}

func (f *fakeStore) err() error {
	if f.away {
		return divergence.ErrAway
	}
	return nil
}

// receiver is a real server that takes messages, or refuses them.
type receiver struct {
	mu      sync.Mutex
	refuses bool
	took    []Message
	headers []http.Header
}

func newReceiver(t *testing.T) (*receiver, string) {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuses {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(request.Body)
		var m Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if want := request.Header.Get("X-Parallax-Signature"); want != "" {
			if got := signature.Sign([]byte("0123456789abcdef"), request.Header.Get(signature.TimestampHeader), body); got != want {
				t.Errorf("signed %s, want %s", want, got)
			}
		}
		r.took, r.headers = append(r.took, m), append(r.headers, request.Header)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(server.URL+"/hook\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return r, file
}

func (r *receiver) messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

func (r *receiver) refuse(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = yes
}

// TestTelling looks again and again by a clock of its own: what comes together is one message,
// bad news does not wait, a receiver or a store that is away loses nothing, and another process
// goes on where this one was.
func TestTelling(t *testing.T) {
	t.Parallel()
	to, file := newReceiver(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Receiver{Name: "team", URLFile: file, SecretFile: secret, Format: "json", MinInterval: time.Minute}
	if faults := r.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	now, store := noon, &fakeStore{marks: map[string][]byte{}}
	service := Service{Name: "shop", Verdict: *verdict(reports.Hold), State: reports.State{Step: 500}}
	start := func() (look func(time.Duration, int)) {
		teller := New([]Receiver{r}, Deps{
			Store: store, Services: func() []Service { return []Service{service} }, May: func() bool { return true },
			Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		tellings := map[string]*telling{}
		return func(later time.Duration, want int) {
			t.Helper()
			now = now.Add(later)
			teller.look(t.Context(), r, tellings)
			if got := to.messages(); len(got) != want {
				t.Fatalf("after %s there are %d messages, want %d: %+v", now.Sub(noon), len(got), want, got)
			}
		}
	}
	add := func(n int) {
		for range n {
			store.issues = append(store.issues, issue(len(store.issues), now))
		}
	}
	add(3)
	look := start()
	look(0, 0) // what is there is no news
	add(1)
	look(5*time.Second, 1)
	add(2)
	look(5*time.Second, 1)
	add(2)
	look(time.Minute, 2) // together
	if got := to.messages()[1]; len(got.Events) != 4 {
		t.Errorf("%+v", got)
	}
	add(1)
	service.State = reports.State{Who: "ann", Reason: "errors", At: now}
	look(5*time.Second, 3) // at once
	if got := to.messages()[2]; len(got.Events) != 2 || got.Events[0].Kind != Rollback || got.Text != "shop: everybody went back to the primary: errors; besides 1 new issue" {
		t.Errorf("%+v", got)
	}
	to.refuse(true)
	service.Verdict = *verdict(reports.Rollback)
	look(time.Minute, 3)
	add(1)
	to.refuse(false)
	look(5*time.Second, 3) // not before its time
	look(15*time.Second, 4)
	if got := to.messages()[3]; len(got.Events) != 2 || got.Events[0].Verdict != reports.Rollback {
		t.Errorf("%+v", got)
	}
	store.away = true
	add(1)
	look(time.Hour, 4)
	service.Verdict.Reasons = []reports.Reason{{Code: reports.StoreAway}}
	service.Verdict.Decision = reports.Hold // of which nothing is known
	store.away = false
	look(time.Second, 5)
	look = start() // another process
	look(time.Minute, 5)
	add(1)
	look(time.Minute, 6)
	for i, h := range to.headers {
		if !strings.HasPrefix(h.Get("X-Parallax-Signature"), "sha256=") {
			t.Errorf("message %d is not signed", i)
		}
	}
}

// TestNoErrorHasTheURL: it may be a secret.
func TestNoErrorHasTheURL(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	redirects := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/secret-path", http.StatusFound))
	t.Cleanup(redirects.Close)
	for _, address := range []string{"http://127.0.0.1:1/secret-path", "ftp://secret-path", redirects.URL + "/secret-path"} {
		if err := os.WriteFile(file, []byte(address), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Receiver{Name: "team", URLFile: file, Format: "json"}.Try(t.Context(), "", noon)
		if err == nil || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestFaultsOfReceivers(t *testing.T) {
	t.Parallel()
	bad := Receiver{URLFile: "nowhere", SecretFile: "nowhere", Format: "xml", On: []Kind{"storms"}, MinInterval: -1}
	var paths []string
	for _, f := range bad.Validate() {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"name", "url_file", "secret_file", "format", "on", "min_interval"}, paths); diff != "" {
		t.Error(diff)
	}
	if _, err := bad.url(); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestOneThatHangs: a receiver that takes a message and does not answer holds up no other.
func TestOneThatHangs(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	hangs := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(hangs, []byte(server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	to, file := newReceiver(t)
	receivers := []Receiver{{Name: "pager", URLFile: hangs}, {Name: "team", URLFile: file}}
	store := &fakeStore{marks: map[string][]byte{}}
	for i := range receivers {
		receivers[i].Format = "json"
		if faults := receivers[i].Validate(); len(faults) > 0 {
			t.Fatal(faults)
		}
		mark, err := json.Marshal(begin(News{At: noon, Verdict: verdict(reports.Hold)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.SetMark(t.Context(), "shop", receivers[i].Name, noon, mark); err != nil {
			t.Fatal(err)
		}
	}
	services := func() []Service {
		return []Service{{Name: "shop", Verdict: *verdict(reports.Rollback)}}
	}
	ctx, stop := context.WithCancel(t.Context())
	teller := New(receivers, Deps{
		Store: store, Services: services, May: func() bool { return true },
		Now: func() time.Time { return noon.Add(time.Minute) }, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	done := make(chan struct{})
	go func() { teller.Run(ctx); close(done) }()
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("the one that hangs was not told")
	}
	for began := time.Now(); len(to.messages()) == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > sendWithin/2 {
			t.Fatal("the other one waits for the one that hangs")
		}
	}
	stop()
	<-done
}
