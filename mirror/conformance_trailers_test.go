package mirror_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestReservedNamesDoNotPassAsTrailers(t *testing.T) {
	t.Parallel()
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\n" +
		"X-Sum: 9\r\nConnection: close\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\r\n"
	primary := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	candidate := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, _ := r.raw("POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" +
		"Trailer: X-Sum, X-Parallax-Role, Baggage, traceparent, Connection\r\n\r\n5\r\nhello\r\n0\r\n" +
		"X-Sum: 9\r\nX-Parallax-Role: shadow\r\nx-parallax-leg: candidate\r\nBaggage: parallax-role=x\r\n" +
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nHost: evil\r\nConnection: x\r\nTe: y\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"X-Sum": {"9"}}
	if diff := cmp.Diff(want, res.Trailer); diff != "" {
		t.Errorf("the caller got other trailers (-want +got):\n%s", diff)
	}
	x := r.next()
	for leg, b := range []*mirrortest.Backend{parallax.Primary: primary, parallax.Candidate: candidate} {
		var trailers []string
		announced := ""
		for _, line := range b.Seen()[0].Head {
			if text, ok := strings.CutPrefix(line, "trailer "); ok {
				trailers = append(trailers, text)
			}
			if text, ok := strings.CutPrefix(line, "Trailer: "); ok {
				announced = text
			}
		}
		if diff := cmp.Diff([]string{"X-Sum: 9"}, trailers); diff != "" || announced != "X-Sum" {
			t.Errorf("the %s got trailers announced as %q (-want +got):\n%s", parallax.Leg(leg), announced, diff)
		}
		if diff := cmp.Diff([]parallax.Field{{Name: "X-Sum", Value: "9"}}, x.Legs[leg].Response.Trailers); diff != "" {
			t.Errorf("the exchange has other trailers of the %s (-want +got):\n%s", parallax.Leg(leg), diff)
		}
	}
}
