package mirror_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"parallax"
	"parallax/mirror"
)

// masked is a service whose candidate does not see mails, sessions and cards.
func masked(cfg *mirror.Service) {
	cfg.Mirror.Request.Mask = []string{"$..mail", "header:X-Card", "cookie:sid", "query:mail"}
}

// TestMaskedFieldsNeverReachTheCandidate: the primary gets the request as it is;
// the candidate gets it with other values of the same shape, and the exchange keeps
// what it got.
func TestMaskedFieldsNeverReachTheCandidate(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.Own, masked)
	body := `{"mail":"ada@example.org","n":17}`
	r.do("POST", "/orders?mail=ada%40example.org&n=17", body, "Content-Type: application/json", "X-Card: 4111111111111111", "Cookie: a=b; sid=ada-1815")
	asked := primary.Wait(t, 1)[0]
	if string(asked.Body) != body || asked.Target != "/orders?mail=ada%40example.org&n=17" || asked.Header.Get("X-Card") != "4111111111111111" {
		t.Errorf("the primary got %s %v %s", asked.Target, asked.Head, asked.Body)
	}
	got := candidate.Wait(t, 1)[0]
	all := got.Target + strings.Join(got.Head, "\n") + string(got.Body)
	for _, secret := range []string{"ada", "example", "4111111111111111", "1815"} {
		if strings.Contains(all, secret) {
			t.Errorf("the candidate sees %q:\n%s", secret, all)
		}
	}
	if len(got.Body) != len(body) || !strings.HasSuffix(string(got.Body), `","n":17}`) || !strings.HasSuffix(got.Target, "&n=17") || !strings.Contains(got.Header.Get("Cookie"), "a=b; sid=") {
		t.Errorf("the candidate got %s %v %s", got.Target, got.Head, got.Body)
	}
	x := r.next()
	if kept := x.Legs[parallax.Candidate].Request; !bytes.Equal(kept.Body.Bytes, got.Body) || kept.Target != got.Target {
		t.Errorf("the exchange keeps %s %s", kept.Target, kept.Body.Bytes)
	}
	r.Stop()
	if used := r.Budget.InUse(); used != 0 {
		t.Errorf("%d bytes are still taken of the budget", used)
	}
}

func TestMaskedBodiesMayBeCoded(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.Own, masked)
	var coded bytes.Buffer
	w := gzip.NewWriter(&coded)
	_, _ = w.Write([]byte(`{"mail":"ada"}`)) // into memory
	_ = w.Close()
	r.do("POST", "/orders", coded.String(), "Content-Type: application/json", "Content-Encoding: gzip")
	if got := primary.Wait(t, 1)[0]; got.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(got.Body, coded.Bytes()) {
		t.Errorf("the primary got %v", got.Head)
	}
	got := candidate.Wait(t, 1)[0]
	if got.Header.Get("Content-Encoding") != "" || len(got.Body) != len(`{"mail":"ada"}`) || strings.Contains(string(got.Body), "ada") {
		t.Errorf("the candidate got %v %s", got.Head, got.Body)
	}
}

// TestWhatCannotBeMaskedIsNotSent: better no comparison than a field that leaks.
func TestWhatCannotBeMaskedIsNotSent(t *testing.T) {
	t.Parallel()
	r, _, candidate := twins(t, mirror.Own, masked)
	r.do("POST", "/orders", "mail: ada", "Content-Type: text/plain")
	if x := r.next(); x.Legs[parallax.Candidate].Err.Kind != parallax.NotAsked || !strings.Contains(x.Legs[parallax.Candidate].Err.Text, "mirror.request.mask") {
		t.Errorf("the candidate's call ended with %+v", x.Legs[parallax.Candidate].Err)
	}
	r.do("POST", "/orders", `{"n":1}`)
	r.next()
	if n := candidate.Count(); n != 1 {
		t.Errorf("the candidate got %d requests, want 1", n)
	}
}

// TestLiveCandidateIsNotMasked: a user whom the candidate serves is served with what
// the user sent.
func TestLiveCandidateIsNotMasked(t *testing.T) {
	t.Parallel()
	r, _, candidate := twins(t, mirror.None, masked)
	r.Mirror.Split().SetStep(10000)
	r.do("GET", "/orders/1?mail=ada", "")
	if got := candidate.Wait(t, 1)[0]; got.Target != "/orders/1?mail=ada" {
		t.Errorf("the live candidate got %s", got.Target)
	}
}
