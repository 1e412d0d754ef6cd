package egress

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/compare/effects"
)

func TestPatterns(t *testing.T) {
	t.Parallel()
	f := func(text, host string, port uint16, method string, want bool) {
		t.Helper()
		p, err := parsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.fits(target{host, port}, method == http.MethodConnect); got != want {
			t.Errorf("%s fits %s %s:%d: %t, want %t", text, method, host, port, got, want)
		}
	}
	f("mail.example", "mail.example", 80, "POST", true)
	f("Mail.Example.", "mail.example", 443, "POST", true)
	f("mail.example", "mail.example", 443, "CONNECT", true)
	f("mail.example", "mail.example", 80, "CONNECT", false)
	f("mail.example", "mail.example", 25, "POST", false)
	f("mail.example:25", "mail.example", 25, "CONNECT", true)
	f("mail.example:25", "mail.example", 80, "POST", false)
	f("mail.example", "a.mail.example", 80, "POST", false)
	f("mail.example", "mail.example.org", 80, "POST", false)
	f("*.example", "mail.example", 80, "POST", true)
	f("*.example", "a.mail.example", 80, "POST", true)
	f("*.example", "example", 80, "POST", false)
	f("*.example", "badexample", 80, "POST", false)
	f("*", "mail.example", 80, "POST", true)
	f("*", "mail.example", 8080, "POST", false)
	f("*:8080", "mail.example", 8080, "POST", true)
	f("10.1.2.3:8080", "10.1.2.3", 8080, "POST", true)
	f("::1", "::1", 80, "POST", true)
	f("[::1]:8080", "::1", 8080, "POST", true)
	f("[2001:DB8::0]", "2001:db8::", 80, "POST", true)
	for _, text := range []string{"", ":80", "a b", "http://mail.example", "mail.example/path", "*.*.example", "a.*", "mail.example:0", "mail.example:http", "[::1", "fe80::1%eth0", "*.10.1.2.3", strings.Repeat("a", 254)} {
		if p, err := parsePattern(text); err == nil {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
}

func TestProtected(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "0.1.2.3", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "255.255.255.255",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16",
	} {
		if !protected(netip.MustParseAddr(text)) {
			t.Errorf("%s is not protected", text)
		}
	}
	for _, text := range []string{"10.0.0.1", "192.168.1.1", "93.184.216.34", "2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1", "fd12::1"} {
		if protected(netip.MustParseAddr(text)) {
			t.Errorf("%s is protected", text)
		}
	}
}

// TestFaults has everything wrong at once.
func TestFaults(t *testing.T) {
	t.Parallel()
	var c Config
	if err := yaml.Unmarshal([]byte(`
listen: nowhere
from: [10.0.0.0/8, everybody]
live: closed
answer: maybe
connect: [443, 70000]
wait: 1h
timeout: 1ms
max_body: 0
in_flight: 0
allow:
- mail.example
- http://mail.example
- { host: mail.example, methods: [post], as: "a b" }
- { host: pay.example, methods: [CONNECT], tls: true }
`), &c); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.Validate() {
		got = append(got, f.Path)
	}
	want := []string{"listen", "from[1]", "live", "answer", "connect[1]", "wait", "timeout", "max_body", "in_flight", "allow[1]", "allow[2].methods", "allow[2].as", "allow[3].tls"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
	if faults := DefaultConfig().Validate(); len(faults) > 0 {
		t.Errorf("the default: %v", faults)
	}
	if faults := (Config{Live: LiveOpen, Answer: AnswerRefuse, Timeout: time.Second, MaxBody: 1, InFlight: 1, Allow: []Allow{{Host: "a"}}}).Validate(); len(faults) != 1 || faults[0].Path != "listen" {
		t.Errorf("no address: %v", faults)
	}
	for _, text := range []string{"allow: [[a]]", "allow: [{host: [a]}]", "allow: [{hots: a}]"} {
		if err := yaml.Unmarshal([]byte(text), &c); err == nil {
			t.Errorf("%s is read as %+v", text, c.Allow)
		}
	}
}

// recorder is a sink that notes what it is told.
type recorder struct {
	mu   sync.Mutex
	list []string
}

func (r *recorder) say(args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fmt.Sprint(args...))
}

// said returns what it was told.
func (r *recorder) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *recorder) Transaction(t effects.Transaction) { r.say("call ", t.Tags[0]) }
func (r *recorder) Passed(p effects.Position)         { r.say("passed ", p) }
func (r *recorder) Gap(from, until time.Time, why string) {
	r.say("gap of ", until.Sub(from), ": ", why)
}

// TestLogWithoutRoom fills a log that is not read, and has the joiner told of the gap.
func TestLogWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(parallax.Primary, "l", time.Now, time.Now())
		text := strings.Repeat("x", maxBytes/2)
		e := parallax.Effect{Table: "mails", Op: parallax.Emit, After: []parallax.Column{{Name: "body", Value: &text}}}
		if !l.add("unread", e, false) || len(l.list) > 0 {
			t.Error("a log that nobody reads keeps calls")
		}
		var r recorder
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		stand := make(chan struct{})
		go func() { ended <- l.Run(ctx, waits{&r, stand}) }()
		synctest.Wait() // it stands in Passed, and reads nothing
		if !l.add("first", e, false) || l.add("second", e, false) {
			t.Error("the second should find no room")
		}
		time.Sleep(time.Second)
		if l.add("third", e, false) {
			t.Error("after a call that found no room others are kept")
		}
		close(stand)
		synctest.Wait()
		if !l.add("fourth", e, false) {
			t.Error("there is no room after reading")
		}
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []string{
			"gap of 0s: reading has not begun", "passed 1", "call first", "gap of 1s: more calls were made than were read", "passed 4", "call fourth", "passed 5",
		}
		if d := cmp.Diff(want, r.said()); d != "" {
			t.Errorf("the joiner was told (-want +got):\n%s", d)
		}
		if p, err := l.Position(t.Context()); p != 5 || err != nil {
			t.Errorf("position %d, %v", p, err)
		}
	})
}

// TestLogOfTwoProcesses has another process take calls at the beginning, and in the end.
func TestLogOfTwoProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(parallax.Primary, "l", time.Now, time.Now().Add(5*time.Second))
		e := parallax.Effect{Table: "mails", Op: parallax.Emit}
		var r recorder
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, &r) }()
		synctest.Wait()
		l.add("early", e, false)
		if len(r.said()) != 1 || !strings.HasSuffix(r.said()[0], "another process may have taken calls") {
			t.Errorf("at the beginning it said %q", r.said())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		l.retire()
		synctest.Wait()
		l.add("late", e, false)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []string{"gap of 5s: reading has not begun", "passed 0", "call early", "passed 1"}
		if got := slices.Compact(r.said()[1:]); len(got) != 5 || !cmp.Equal(want, got[:4]) || !strings.HasSuffix(got[4], "another process may have taken calls") {
			t.Errorf("it said %q, want %q and a gap", got, want)
		}
	})
}

// waits is a sink that stands still in its first Passed.
type waits struct {
	*recorder
	stand chan struct{}
}

func (w waits) Passed(p effects.Position) {
	<-w.stand
	w.recorder.Passed(p)
}

// TestAnswersAreForgotten keeps no more than may be kept.
func TestAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	a := newAnswers(func() time.Time { return now })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	keep := a.begin("early")
	for n := range 2 * maxSeries {
		a.begin(fmt.Sprint(n))(&answer{body: make([]byte, 1)})
	}
	keep(&answer{}) // of a series that is forgotten: no news
	if len(a.known) > maxSeries+1 || a.order.Len() != len(a.known) || int(a.bytes) > 1000*len(a.known) {
		t.Errorf("%d series, %d in order, %d bytes", len(a.known), a.order.Len(), a.bytes)
	}
	for range 2 * maxRepeats {
		a.begin("again")(&answer{body: make([]byte, 1<<20)})
	}
	if n := len(a.known["again"].got); n != maxRepeats {
		t.Errorf("%d answers of one call", n)
	}
	if a.begin("other"); a.known["again"] != nil && a.bytes > maxAnswered {
		t.Errorf("%d bytes are kept", a.bytes)
	}
	wide := http.Header{"X-Wide": {strings.Repeat("x", 1<<20)}}
	for n := range 2 * maxAnswered >> 20 {
		a.begin(fmt.Sprint("wide ", n))(&answer{header: wide})
	}
	for n := range 2 * maxAnswered >> 20 {
		a.begin(fmt.Sprint(strings.Repeat("long", 1<<18), n))
	}
	if a.begin("last"); a.bytes > maxAnswered || len(a.known) > maxAnswered>>20 {
		t.Errorf("%d answers with long heads or addresses, %d bytes, are kept", len(a.known), a.bytes)
	}
	now = now.Add(answersLast)
	if a.wait(ctx, parallax.Candidate, "new"); len(a.known) != 1 {
		t.Errorf("%d series are kept", len(a.known))
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("http://mail.example:80/x")
	f.Add("http://[::1%25eth0]:1/")
	f.Add("HTTP://U:P@A.:65536")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.NewRequest("GET", text, nil)
		if err != nil {
			return
		}
		to, err := parseTarget(r)
		if err != nil {
			return
		}
		host, ok := parseHost(to.host)
		if !ok || host != to.host || to.port == 0 {
			t.Errorf("%q is read as %+v", text, to)
		}
		newPolicy(DefaultConfig()).allows(true, "GET", to)
	})
}

// TestBodiesTogetherAreBounded: a body that finds no room is not comparable, whatever it is,
// and what a call has taken is there again when it ends.
func TestBodiesTogetherAreBounded(t *testing.T) {
	t.Parallel()
	room := newBudget(10)
	read := func(text string, limit int64) *capture {
		c := newCapture(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(text)), limit, room)
		c.deadline = func(time.Time) error { return nil }
		if n, err := io.Copy(io.Discard, c); err != nil || n != int64(len(text)) {
			t.Errorf("%d bytes of %q, %v", n, text, err)
		}
		return c
	}
	first, long := read("123456", 6), read("1234567", 6)
	if b := first.seen(); string(b.kept) != "123456" || !b.whole || b.cut {
		t.Errorf("a body that fits: %+v", b)
	}
	if b := long.seen(); !b.cut || !b.whole || b.size != 7 {
		t.Errorf("a body that is too long: %+v", b)
	}
	if b := read("12345", 6).seen(); b.whole {
		t.Errorf("a body without room: %+v", b)
	}
	first.end()
	if b := read("12345", 6).seen(); string(b.kept) != "12345" || !b.whole {
		t.Errorf("a body when there is room again: %+v", b)
	}
	var lost []string
	for _, text := range []string{"12345", "123456"} { // 5 are taken
		r := &recording{ReadCloser: io.NopCloser(strings.NewReader(text)), room: room, limit: 100, keep: func(a *answer) { lost = append(lost, a.lost) }}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"", "too many answers were under way"}, lost); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if left := room.left.Load(); left != 5 {
		t.Errorf("%d bytes of room are left, want 5", left)
	}
}
