package mirror_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// knows has a mirror know that the candidate calls order 17 9017.
func (r *rig) knows(t *testing.T) {
	t.Helper()
	fact := ids.Fact{Ref: ids.Ref{Name: "order", Value: "17"}, To: parallax.Candidate, State: ids.Paired, Partner: "9017"}
	if err := r.Mirror.Identifiers().Learn(t.Context(), fact); err != nil {
		t.Fatal(err)
	}
}

func codedBy(t *testing.T, open func(io.Writer) (io.WriteCloser, error), text string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, text) // into memory
	_ = w.Close()
	return out.String()
}

// TestIdentifiersInBodies: however a body comes, the candidate gets its own order, a
// length that is right, and no digest of the bytes that it does not get.
func TestIdentifiersInBodies(t *testing.T) {
	t.Parallel()
	const text, want = `{"order_id":17,"quantity":17}`, `{"order_id":9017,"quantity":17}`
	f := func(name, coding, body string, chunked bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, primary, candidate := twins(t, mirror.Own, func(cfg *mirror.Service) {
				cfg.Identifiers = withIdentifiers("", "").Identifiers
			})
			r.knows(t)
			request, err := http.NewRequestWithContext(t.Context(), "POST", r.URL+"/orders", bytes.NewReader([]byte(body)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Content-Digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:")
			request.Header.Set("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==")
			if coding != "" {
				request.Header.Set("Content-Encoding", coding)
			}
			if chunked {
				request.ContentLength = -1
			}
			answer, err := r.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			asked, got := primary.Wait(t, 1)[0], candidate.Wait(t, 1)[0]
			if string(asked.Body) != body || asked.Header.Get("Content-Digest") == "" || asked.Header.Get("Content-Encoding") != coding {
				t.Errorf("the primary got %v %q", asked.Head, asked.Body)
			}
			if string(got.Body) != want || got.Header.Get("Content-Encoding") != "" {
				t.Errorf("the candidate got %v %q", got.Head, got.Body)
			}
			if got.Header.Get("Content-Digest")+got.Header.Get("Content-MD5") != "" {
				t.Errorf("the candidate got digests of another body: %v", got.Head)
			}
			if whole := got.Header.Get("Content-Length") == ""; whole != chunked {
				t.Errorf("the candidate got %v", got.Head)
			}
			if x := r.next(); len(x.Unmapped) > 0 || string(x.Legs[parallax.Candidate].Request.Body.Bytes) != want {
				t.Errorf("unmapped %v, kept %q", x.Unmapped, x.Legs[parallax.Candidate].Request.Body.Bytes)
			}
		})
	}
	gzipped := codedBy(t, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }, text)
	f("plain", "", text, false)
	f("chunked", "", text, true)
	f("gzip", "gzip", gzipped, false)
	f("gzip, chunked", "gzip", gzipped, true)
	f("br", "br", codedBy(t, func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil }, text), false)
	f("zstd", "zstd", codedBy(t, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }, text), true)
}

// TestCursorsAreKnownByTheCallersPath: on either leg, although the path itself names
// an order.
func TestCursorsAreKnownByTheCallersPath(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.Own, func(cfg *mirror.Service) {
		cfg.Identifiers = withIdentifiers("", "").Identifiers
		cfg.Identifiers[0].In = ids.At("path:/orders/{id}/items")
	})
	primary.Become(mirrortest.JSON(`{"next_cursor":"p2"}`))
	candidate.Become(mirrortest.JSON(`{"next_cursor":"c2"}`))
	r.knows(t)
	r.do("GET", "/orders/17/items", "")
	if x := r.next(); x.Legs[parallax.Candidate].Request.Target != "/orders/9017/items" {
		t.Errorf("the candidate was asked for %s", x.Legs[parallax.Candidate].Request.Target)
	}
	found, err := r.Mirror.Identifiers().Find(t.Context(), ids.Ref{Name: ids.Cursor, Leg: parallax.Candidate, Value: "/orders/17/items\nc2"})
	if err != nil || found[0][parallax.Primary].Value != "/orders/17/items\np2" {
		t.Errorf("the candidate's cursor: %v, %v", found, err)
	}
}
