package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/mirror"
)

// told reads a recording and says what each entry comes to.
func told(t *testing.T, name, content string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(file, "")
	if err != nil {
		return []string{err.Error()}
	}
	defer s.Close()
	var out []string
	for {
		r, err := s.Next()
		if errors.Is(err, io.EOF) {
			if done, total := s.Progress(); done != total {
				t.Errorf("at the end %d of %d are done", done, total)
			}
			return out
		}
		if skip, ok := errors.AsType[*Skip](err); ok {
			out = append(out, fmt.Sprintf("%s %v", skip.Reason, skip))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s host=%s user=%s ip=%s %v %q", r.Time.UTC().Format(time.TimeOnly), r.Method, r.Target, r.Host, r.User, r.RemoteIP, r.Headers, r.Body))
	}
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recording (-want +got):\n%s", diff)
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	same(t, []string{
		`10:00:00 GET /orders/1?x=%20 host=shop.example user=ann ip=192.0.2.7 [{Accept */*} {X a} {X b}] ""`,
		`10:00:01 POST /orders host=a.example:81 user= ip= [{B 2} {A 1}] "{}"`,
		`00:00:00 PUT /x host= user= ip= [] "\x00\xff"`,
		`malformed r.jsonl:5: cannot read it as JSON: json: unknown field "metod"`,
		`malformed r.jsonl:6: cannot read it as JSON: invalid character 'o' in literal null (expecting 'u')`,
		`malformed r.jsonl:7: there are both target and url; write one of them`,
		`malformed r.jsonl:8: there are both body and body_base64; write one of them`,
		`not_http r.jsonl:9: the scheme "ftp" is not that of HTTP`,
		`malformed r.jsonl:10: headers are not an object such as {"Accept": "*/*"}`,
		`malformed r.jsonl:11: the request's method is not a token`,
		`malformed r.jsonl:12: cannot read it as JSON: there is more than one value in the line`,
		`malformed r.jsonl:13: cannot read it as JSON: there is more than one value in the line`,
		`00:00:00 GET /a|b/"c"?d=[e]&f={} host=h user= ip= [] ""`,
		`00:00:00 GET /a%20b?c host=h user= ip= [] ""`,
		`00:00:00 GET /?c host=h user= ip= [] ""`,
		`malformed r.jsonl:17: the request's target is empty or holds spaces`,
		`no_body r.jsonl:18: its body had 7 bytes, of which the recording has 0`,
		`cut_body r.jsonl:19: its body had 7 bytes, of which the recording has 2`,
	}, told(t, "r.jsonl", `{"time":"2026-11-21T10:00:00Z","method":"GET","target":"/orders/1?x=%20","host":"shop.example","headers":{"Accept":"*/*","X":["a","b"]},"user":"ann","ip":"192.0.2.7"}
{"time":"2026-11-21T10:00:01Z","method":"POST","url":"http://a.example:81/orders","headers":[["B","2"],["A","1"]],"body":"{}"}

{"method":"PUT","target":"/x","body_base64":"AP8="}
{"metod":"GET"}
nonsense
{"method":"GET","target":"/x","url":"http://a/x"}
{"method":"PUT","target":"/x","body":"","body_base64":""}
{"method":"GET","url":"ftp://a/x"}
{"method":"GET","target":"/x","headers":{"A":7}}
{"method":"","target":"/x"}
{"method":"GET","target":"/x"} {"method":"GET","target":"/x"}
{"method":"GET","target":"/x"}]
{"method":"GET","url":"http://h/a|b/\"c\"?d=[e]&f={}#g"}
{"method":"GET","url":"http://h/a b?c"}
{"method":"GET","url":"http://h?c#"}
{"method":"GET","url":"http://h/a?b c"}
{"method":"POST","target":"/x","headers":{"content-length":"7"}}
{"method":"POST","target":"/x","headers":{"Content-Length":"7"},"body":"{}"}`))
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	same(t, []string{
		`10:00:00 GET /orders/1?a="b host= user=ann ip=192.0.2.7 [{Referer http://x/} {User-Agent a"b}] ""`,
		`09:00:01 HEAD / host= user= ip=::1 [] ""`,
		`no_body access.log:3: the log has no body of this POST; record HAR or JSON lines to replay it`,
		`malformed access.log:4: cannot read the request line "-"`,
		`malformed access.log:5: it is not a line of the combined format, such as 192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"`,
		`malformed access.log:6: cannot read the time "yesterday"`,
		`10:00:05 GET /x host= user= ip=192.0.2.7 [] ""`,
	}, told(t, "access.log", `192.0.2.7 - ann [21/Nov/2026:10:00:00 +0000] "GET /orders/1?a=\x22b HTTP/1.1" 200 5 "http://x/" "a\"b"
::1 - - [21/Nov/2026:10:00:01 +0100] "HEAD / HTTP/1.0" 304 -
192.0.2.7 - - [21/Nov/2026:10:00:02 +0000] "POST /orders HTTP/1.1" 201 5 "-" "-"
192.0.2.7 - - [21/Nov/2026:10:00:03 +0000] "-" 400 0 "-" "-"
what is this
192.0.2.7 - - [yesterday] "GET / HTTP/1.1" 200 5 "-" "-"
192.0.2.7 - - [21/Nov/2026:10:00:05 +0000] "GET /x HTTP/1.1" 200 5 "-" "-" "extra" 0.003
`))
}

func TestHAR(t *testing.T) {
	t.Parallel()
	same(t, []string{
		`no_body r.har: entry 4: its body had 7 bytes, of which the recording has 0`,
		`cut_body r.har: entry 5: its body had 7 bytes, of which the recording has 3`,
		`no_body r.har: entry 6: the recording has the parameters of its body and not the body`,
		`malformed r.har: entry 7: there is no request`,
		`10:00:00 GET /a?b=c%2Fd host=shop.example user= ip= [{Accept */*}] ""`,
		`10:00:01 POST /orders host=shop.example user= ip= [] "{}"`,
		`10:00:02 PUT /raw host=h user= ip= [] "\x00\xff"`,
	}, told(t, "r.har", `{"log":{"version":"1.2","pages":[{"a":[1]}],"entries":[
{"startedDateTime":"2026-11-21T10:00:01Z","request":{"method":"POST","url":"https://shop.example/orders","headers":[],"bodySize":2,"postData":{"mimeType":"application/json","text":"{}"}},"response":{}},
{"startedDateTime":"2026-11-21T10:00:00.000+00:00","request":{"method":"GET","url":"https://shop.example/a?b=c%2Fd#top","headers":[{"name":":path","value":"/a"},{"name":"Accept","value":"*/*"}],"bodySize":-1}},
{"startedDateTime":"2026-11-21T10:00:02Z","request":{"method":"PUT","url":"http://x/raw","headers":[{"name":"host","value":"h"}],"postData":{"text":"AP8=","encoding":"base64"}}},
{"startedDateTime":"2026-11-21T10:00:03Z","request":{"method":"PUT","url":"http://x/raw","headers":[],"bodySize":7}},
{"startedDateTime":"2026-11-21T10:00:04Z","request":{"method":"PUT","url":"http://x/raw","headers":[],"bodySize":7,"postData":{"text":"abc"}}},
{"startedDateTime":"2026-11-21T10:00:05Z","request":{"method":"POST","url":"http://x/form","headers":[],"postData":{"params":[{"name":"a"}]}}},
{"startedDateTime":"2026-11-21T10:00:06Z"}]}}`))
	for content, want := range map[string]string{
		`{}`: `there is no "log"`, `[]`: `no object that holds "log"`, `{"log":{"entries":{}}}`: "not a list",
		`{"log":{"entries":[{"request":`: "entry 1", `{"log":{"entries":[`: "the file ends",
	} {
		if got := told(t, "r.har", content)[0]; !strings.Contains(got, want) || !strings.Contains(got, "r.har") {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f := func(file, format, want string) {
		t.Helper()
		if _, err := Open(file, format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %v, want %q", file, format, err, want)
		}
	}
	f("x.txt", "", "write --format")
	f("x.har", "tar", "write --format")
	f(filepath.Join(t.TempDir(), "x.har"), "", "no such file")
	f(t.TempDir(), "log", "is a folder")
}

// list is a source of requests at seconds after noon.
type list struct{ at []int }

func (l *list) Next() (Request, error) {
	if len(l.at) == 0 {
		return Request{}, io.EOF
	}
	s := l.at[0]
	l.at = l.at[1:]
	if s < 0 {
		return Request{}, &Skip{Reason: NoBody, Where: "here"}
	}
	return Request{Recorded: mirror.Recorded{Method: "GET", Target: fmt.Sprint("/", s)}, Time: noon.Add(time.Duration(s) * time.Second), Where: fmt.Sprintf("second %d ", s)}, nil
}
func (l *list) Progress() (done, total int64) { return 0, 0 }
func (l *list) Close() error                  { return nil }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestPace(t *testing.T) {
	t.Parallel()
	f := func(factor float64, at, want []int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var got []int
			totals, err := Plan{Factor: factor, InFlight: 4, Now: time.Now, Ask: func(_ mirror.Recorded, done func()) error {
				got = append(got, int(time.Since(began).Seconds()))
				go done()
				return nil
			}}.Run(t.Context(), &list{at})
			if diff := cmp.Diff(want, got); diff != "" || err != nil || totals.Replayed != int64(len(want)) {
				t.Errorf("factor %v: %+v, %v, seconds (-want +got):\n%s", factor, totals, err, diff)
			}
		})
	}
	f(1, []int{0, 1, 5, 3, 60}, []int{0, 1, 5, 5, 60})
	f(2, []int{10, 20, 30}, []int{0, 5, 10})
	f(0.5, []int{0, 1}, []int{0, 2})
	f(0, []int{0, 100, 1000}, []int{0, 0, 0})
}

// TestTimesThatLie: a gap that nobody would wait for is told, and never taken for
// no gap at all.
func TestTimesThatLie(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var told []string
		totals, err := Plan{Factor: 0.001, InFlight: 1, Now: time.Now,
			Ask:   func(_ mirror.Recorded, done func()) error { go done(); return nil },
			Waits: func(where string, d time.Duration) { told = append(told, fmt.Sprint(where, int(d.Hours()/24/365))) },
		}.Run(ctx, &list{[]int{0, 50 * 365 * 24 * 3600}})
		if totals.Replayed != 1 || totals.Skipped[Stopped] != 1 || err != nil || fmt.Sprint(told) != "[second 1576800000 100]" {
			t.Errorf("%+v, %v, told %q", totals, err, told)
		}
	})
}

func TestNothingIsLostSilently(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var most, now int
		totals, err := Plan{
			Since: noon.Add(2 * time.Second), Until: noon.Add(8 * time.Second), InFlight: 2, Now: time.Now,
			Ask: func(r mirror.Recorded, done func()) error {
				if r.Target == "/5" {
					return errors.New("cannot be sent")
				}
				mu.Lock()
				defer mu.Unlock()
				now++
				most = max(most, now)
				time.AfterFunc(time.Second, func() {
					mu.Lock()
					now--
					mu.Unlock()
					done()
				})
				return nil
			},
		}.Run(t.Context(), &list{[]int{1, -1, 2, 3, 4, 5, 6, 7, 8, 9}})
		want := Totals{Read: 10, Replayed: 5, Skipped: map[Reason]int64{OutOfRange: 3, NoBody: 1, Malformed: 1}}
		if diff := cmp.Diff(want, totals); diff != "" || err != nil {
			t.Errorf("%v, totals (-want +got):\n%s", err, diff)
		}
		if most != 2 || now != 0 {
			t.Errorf("%d requests at a time, want 2; %d are left", most, now)
		}
	})
}

func TestReplayEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		ask := func(_ mirror.Recorded, done func()) error { go done(); return nil }
		totals, err := Plan{Factor: 1, InFlight: 1, Now: time.Now, Ask: ask}.Run(ctx, &list{[]int{0, 60, 120, 180}})
		want := Totals{Read: 3, Replayed: 2, Skipped: map[Reason]int64{Stopped: 1}}
		if diff := cmp.Diff(want, totals); diff != "" || err != nil {
			t.Errorf("%v, totals (-want +got):\n%s", err, diff)
		}
		totals, err = Plan{Limit: 2, InFlight: 1, Now: time.Now, Ask: ask}.Run(t.Context(), &list{[]int{0, 1, 2, 3}})
		if totals.Replayed != 2 || totals.Read != 2 || err != nil {
			t.Errorf("a limit of 2: %+v, %v", totals, err)
		}
	})
}

func FuzzRecordings(f *testing.F) {
	f.Add(`{"method":"GET","target":"/x","headers":{"A":["b"]}}`)
	f.Add(`192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /\x41 HTTP/1.1" 200 5 "-" "-"`)
	f.Add(`{"request":{"method":"PUT","url":"http://x/raw","postData":{"text":"AP8=","encoding":"base64"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string, []byte) (Request, error){
			parseJSONLine, parseAccessLog, func(where string, b []byte) (Request, error) { return parseEntry(where, b) },
		} {
			r, err := parse("here", []byte(text))
			if _, skipped := errors.AsType[*Skip](err); err != nil && !skipped {
				t.Errorf("%q ends the recording: %v", text, err)
			}
			if err == nil && r.Fault() != nil {
				t.Errorf("%q gives a request that cannot be sent: %v", text, r.Fault())
			}
		}
	})
}
