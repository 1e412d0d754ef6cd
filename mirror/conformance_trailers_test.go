package mirror_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// Go's client sends trailers and gets some, through legs of Go's server.
func TestTrailersOfGo(t *testing.T) {
	t.Parallel()
	type seen struct {
		Announced, Sent string
	}
	arrived := make(chan seen, 2)
	leg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, announced := req.Trailer["X-Sum"]
		body, _ := io.ReadAll(req.Body)
		arrived <- seen{fmt.Sprint(announced), req.Trailer.Get("X-Sum")}
		w.Header().Set("Trailer", "X-Answer-Sum")
		w.Write(body)
		w.Header().Set("X-Answer-Sum", "10")
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	}))
	t.Cleanup(leg.Close)
	r := start(t, pair(leg.URL, leg.URL, mirror.Own))
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL+"/orders", io.MultiReader(strings.NewReader("hello"))) // of unknown length
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Sum": {"9"}}
	res, err := r.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != "hello" || err != nil {
		t.Errorf("answered %q, %v", body, err)
	}
	if diff := cmp.Diff(http.Header{"X-Answer-Sum": {"10"}, "X-Late": {"unannounced"}}, res.Trailer); diff != "" {
		t.Errorf("the caller got other trailers (-want +got):\n%s", diff)
	}
	for range 2 {
		if got := <-arrived; got != (seen{"true", "9"}) {
			t.Errorf("a leg got trailers %+v", got)
		}
	}
	want := []parallax.Field{{Name: "X-Answer-Sum", Value: "10"}, {Name: "X-Late", Value: "unannounced"}}
	for _, c := range r.next().Legs[:2] {
		if diff := cmp.Diff(want, c.Response.Trailers); diff != "" {
			t.Errorf("the exchange has other trailers (-want +got):\n%s", diff)
		}
	}
}

// curl shows the bytes of a chunked answer as they came.
func TestTrailersOfCurl(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n"
	primary := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	r := start(t, pair(primary.URL, primary.URL, mirror.Own))
	if got := curl(t, 0, "--include", "--raw", r.URL+"/orders/1"); got != answer {
		t.Errorf("curl got %q, want %q", got, answer)
	}
}
