package ui

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// problem is an error as its caller sees it: a problem document of RFC 9457.
// Handlers return one as an error; respondProblem writes it as JSON to programs
// and as a page to people.
type problem struct {
	Type     string   `json:"type"` // urn:parallax:problem: and one word
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail,omitempty"`
	Instance string   `json:"instance,omitempty"`
	Known    []string `json:"known,omitempty"`  // the names that would have been found
	Faults   []string `json:"faults,omitempty"` // what is wrong with the request, each with its place

	retryAfter int // seconds; 0 leaves the header out
}

const problemType = "urn:parallax:problem:"

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// newProblem returns a problem with the status's own words as its title.
func newProblem(status int, word, detail string) *problem {
	return &problem{Type: problemType + word, Title: http.StatusText(status), Status: status, Detail: detail}
}

func badRequest(faults ...string) *problem {
	p := newProblem(http.StatusBadRequest, "bad_request", strings.Join(faults, "; "))
	p.Faults = faults
	return p
}

func notFound(detail string, known ...string) *problem {
	p := newProblem(http.StatusNotFound, "not_found", detail)
	p.Known = known
	return p
}

// storeAway says that the store does not answer at the moment. Traffic and the
// verdict are not affected by that, and the caller may ask again.
func storeAway(err error) *problem {
	p := newProblem(http.StatusServiceUnavailable, "store_away", "the store cannot be asked at the moment: "+err.Error())
	p.retryAfter = 5
	return p
}

// writeProblem writes p as a problem document.
func writeProblem(w http.ResponseWriter, p *problem) {
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(true)
	_ = encoder.Encode(p) // the caller has left; there is nobody to tell
}
