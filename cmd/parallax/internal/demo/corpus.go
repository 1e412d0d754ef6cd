package demo

import (
	"math/rand/v2"
	"net/http"
	"strings"
)

// Endpoint is one endpoint of the service with the requests the demo sends to
// it in turn.
type Endpoint struct {
	Template string // as it stands in the demo's configuration: GET /image/{kind}
	Weight   int    // how often it is asked in a round
	Requests []Request
}

// Request is one request of the corpus.
type Request struct {
	Method, Target string
	Header         http.Header
	Body           string
	Want           []int // statuses the old release answers with
}

// Deck deals the requests of a corpus: in each round every endpoint as often as
// its weight, in an order that changes from round to round, and each endpoint's
// requests in turn. The order depends on nothing but the corpus. It is not safe
// for use by several goroutines.
type Deck struct {
	corpus []Endpoint
	order  []int // indices into corpus, one for each card of a round
	at     int
	turns  []int
	random *rand.Rand
}

// NewDeck returns a deck over the corpus.
func NewDeck(corpus []Endpoint) *Deck {
	d := &Deck{corpus: corpus, turns: make([]int, len(corpus)), random: rand.New(rand.NewPCG(1, 2))}
	for i, e := range corpus {
		for range e.Weight {
			d.order = append(d.order, i)
		}
	}
	d.at = len(d.order)
	return d
}

// Next returns the next request.
func (d *Deck) Next() Request {
	if d.at == len(d.order) {
		d.random.Shuffle(len(d.order), func(i, j int) { d.order[i], d.order[j] = d.order[j], d.order[i] })
		d.at = 0
	}
	endpoint := d.order[d.at]
	d.at++
	requests := d.corpus[endpoint].Requests
	request := requests[d.turns[endpoint]%len(requests)]
	d.turns[endpoint]++
	return request
}

// on describes an endpoint whose requests have the template's method, one for
// each target. Requests answer 200 unless they say otherwise.
func on(template string, requests ...Request) Endpoint {
	method, path, _ := strings.Cut(template, " ")
	if len(requests) == 0 {
		requests = []Request{to(path)}
	}
	for i := range requests {
		requests[i].Method = method
	}
	return Endpoint{Template: template, Weight: 1, Requests: requests}
}

// all describes an endpoint by its targets alone.
func all(template string, targets ...string) Endpoint {
	var requests []Request
	for _, target := range targets {
		requests = append(requests, to(target))
	}
	return on(template, requests...)
}

// to is a request without a body. The header is given as name, value, name,
// value.
func to(target string, header ...string) Request {
	r := Request{Target: target, Header: http.Header{}, Want: []int{http.StatusOK}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// body returns the request with a body.
func (r Request) body(contentType, text string) Request {
	r.Header.Set("Content-Type", contentType)
	r.Body = text
	return r
}

// want returns the request with other statuses than 200.
func (r Request) want(status ...int) Request {
	r.Want = status
	return r
}

// want returns the endpoint with other statuses than 200 for all its requests.
func (e Endpoint) want(status ...int) Endpoint {
	for i := range e.Requests {
		e.Requests[i].Want = status
	}
	return e
}

// times returns the endpoint with another weight than 1.
func (e Endpoint) times(weight int) Endpoint {
	e.Weight = weight
	return e
}
