package parallax_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"parallax"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

func text(s string) *string { return &s }

func body(s string) parallax.Body {
	return parallax.Body{Bytes: []byte(s), Size: int64(len(s)), SHA256: sha256.Sum256([]byte(s))}
}

// sample is an exchange with something in every field.
func sample() *parallax.Exchange {
	id, err := parallax.ParseID("019300aa-bbcc-7ddd-8eee-0123456789ab")
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	request := parallax.Request{
		Method: "POST", Target: "/orders?x=1;y=%zz", Host: "shop.test", Proto: "HTTP/1.1",
		Headers: []parallax.Field{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}},
		Body:    body(`{"sku":7}`), Trailers: []parallax.Field{{Name: "X-Sum", Value: "9"}},
	}
	return &parallax.Exchange{
		ID: id, Service: "shop", Endpoint: "POST /orders", Source: parallax.FromTap, User: [16]byte{1, 2, 3},
		Received: at, Live: parallax.Candidate, Concurrent: true, Covered: true, Safe: true, Unmapped: []string{"order", "token"}, Lag: "behind",
		Legs: [parallax.Legs]*parallax.Call{
			{
				Request:  request,
				Response: parallax.Response{Status: 201, Headers: []parallax.Field{{Name: "Location", Value: "/orders/17"}}, Body: body(`{"id":17}`), Trailers: []parallax.Field{{Name: "T", Value: "v"}}},
				Start:    time.Millisecond, First: 2 * time.Millisecond, Done: 3 * time.Millisecond, Version: "1.41.0",
				Effects: []parallax.Effect{{
					Table: "orders", Op: parallax.Update, Before: []parallax.Column{{Name: "note"}}, After: []parallax.Column{{Name: "note", Value: text("")}},
					Correlation: parallax.ByTag, At: at, Key: []parallax.Column{{Name: "id", Type: parallax.NumberColumn, Value: text("17"), Made: true, Ref: "baskets.id"}}, Position: 1 << 40, Late: true,
				}},
			},
			{
				Request: request, Err: parallax.CallErr{Kind: parallax.Timeout, Text: "no answer within 5s"},
				Start: time.Millisecond, Done: 5 * time.Second, Unread: "no connection",
				Response: parallax.Response{Body: parallax.Body{Bytes: []byte("par"), Size: 1 << 30, Cut: true}},
			},
			nil,
		},
	}
}

func clone(x *parallax.Exchange) *parallax.Exchange {
	out := *x
	return &out
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	f := func(x *parallax.Exchange) {
		t.Helper()
		got, err := parallax.DecodeExchange(parallax.AppendExchange(nil, x))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(x, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	f(sample())
	f(&parallax.Exchange{Received: time.Unix(0, 0).UTC()})
}

// TestCodecGolden fails when the layout changes: then CodecVersion goes up, the
// old file stays, and DecodeExchange reads both.
func TestCodecGolden(t *testing.T) {
	t.Parallel()
	const file = "testdata/exchange.v4.golden"
	got := parallax.AppendExchange(nil, sample())
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("the encoding of version %d changed", parallax.CodecVersion)
	}
	x, err := parallax.DecodeExchange(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), x); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestCodecReadsEarlierVersions decodes what earlier versions wrote.
func TestCodecReadsEarlierVersions(t *testing.T) {
	t.Parallel()
	third := sample()
	effect := &third.Legs[parallax.Primary].Effects[0]
	effect.Key, effect.Position, effect.Late = nil, 0, false
	third.Legs[parallax.Candidate].Unread, third.Lag = "", ""
	second := clone(third)
	second.Safe = false
	first := clone(second)
	first.Unmapped = nil
	for file, want := range map[string]*parallax.Exchange{"testdata/exchange.v1.golden": first, "testdata/exchange.v2.golden": second, "testdata/exchange.v3.golden": third} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parallax.DecodeExchange(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", file, d)
		}
	}
}

func TestCodecRefuses(t *testing.T) {
	t.Parallel()
	whole := parallax.AppendExchange(nil, sample())
	for n := range len(whole) {
		if _, err := parallax.DecodeExchange(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(whole))
		}
	}
	if _, err := parallax.DecodeExchange(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
	whole[0] = 99
	if _, err := parallax.DecodeExchange(whole); !errors.Is(err, parallax.ErrCodecVersion) {
		t.Errorf("version 99: %v, want ErrCodecVersion", err)
	}
}

func TestCodecWritesSharedRequestBodyOnce(t *testing.T) {
	t.Parallel()
	x := sample()
	marker := bytes.Repeat([]byte("Q"), 1000)
	shared := parallax.Body{Bytes: marker, Size: 1000, SHA256: sha256.Sum256(marker)}
	x.Legs[0].Request.Body, x.Legs[1].Request.Body = shared, shared
	if n := bytes.Count(parallax.AppendExchange(nil, x), marker); n != 1 {
		t.Errorf("the body stands in the encoding %d times", n)
	}
}

func FuzzDecodeExchange(f *testing.F) {
	f.Add(parallax.AppendExchange(nil, sample()))
	f.Add([]byte{parallax.CodecVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parallax.DecodeExchange(data)
		if err != nil {
			return
		}
		again, err := parallax.DecodeExchange(parallax.AppendExchange(nil, x))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(x, again); d != "" {
			t.Errorf("(-first +again)\n%s", d)
		}
	})
}

func BenchmarkAppendExchange(b *testing.B) {
	x, buf := sample(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = parallax.AppendExchange(buf[:0], x)
	}
}
