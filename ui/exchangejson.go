package ui

import (
	"encoding/hex"
	"unicode/utf8"

	"parallax"
	"parallax/divergence"
)

// The JSON of an exchange. Field names of it are part of the API.
type (
	exchangeJSON struct {
		divergence.ExchangeDetail
		Calls map[string]callJSON `json:"calls"` // by leg; empty when the bodies were not kept
	}
	callJSON struct {
		Version  string       `json:"version,omitempty"`
		Request  requestJSON  `json:"request"`
		Response responseJSON `json:"response"`
		Error    string       `json:"error,omitempty"` // the kind of failure
		Text     string       `json:"error_text,omitempty"`
		Start    float64      `json:"start"` // seconds since the request came in
		First    float64      `json:"first"`
		Done     float64      `json:"done"`
	}
	requestJSON struct {
		Method  string      `json:"method"`
		Target  string      `json:"target"`
		Host    string      `json:"host"`
		Proto   string      `json:"proto"`
		Headers []fieldJSON `json:"headers"`
		Body    bodyJSON    `json:"body"`
	}
	responseJSON struct {
		Status   int         `json:"status"` // 0 when there was no answer
		Headers  []fieldJSON `json:"headers"`
		Body     bodyJSON    `json:"body"`
		Trailers []fieldJSON `json:"trailers,omitempty"`
	}
	fieldJSON struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	// bodyJSON has its bytes as text where they are UTF-8, else in base64.
	bodyJSON struct {
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		Cut    bool   `json:"cut"`
		Text   string `json:"text,omitempty"`
		Base64 []byte `json:"base64,omitempty"`
	}
)

func exchangeDocument(d divergence.ExchangeDetail) exchangeJSON {
	d.Differences, d.Legs = list(d.Differences), list(d.Legs)
	out := exchangeJSON{ExchangeDetail: d, Calls: map[string]callJSON{}}
	if d.Exchange == nil {
		return out
	}
	for leg, call := range d.Exchange.Legs {
		if call != nil {
			out.Calls[parallax.Leg(leg).String()] = newCallJSON(call)
		}
	}
	return out
}

func newCallJSON(c *parallax.Call) callJSON {
	return callJSON{
		Version: c.Version,
		Request: requestJSON{
			Method: c.Request.Method, Target: c.Request.Target, Host: c.Request.Host, Proto: c.Request.Proto,
			Headers: fieldsJSON(c.Request.Headers), Body: newBodyJSON(&c.Request.Body),
		},
		Response: responseJSON{
			Status: c.Response.Status, Headers: fieldsJSON(c.Response.Headers),
			Body: newBodyJSON(&c.Response.Body), Trailers: fieldsJSON(c.Response.Trailers),
		},
		Error: c.Err.Kind.String(), Text: c.Err.Text,
		Start: c.Start.Seconds(), First: c.First.Seconds(), Done: c.Done.Seconds(),
	}
}

func fieldsJSON(fields []parallax.Field) []fieldJSON {
	out := make([]fieldJSON, 0, len(fields))
	for _, f := range fields {
		out = append(out, fieldJSON(f))
	}
	return out
}

func newBodyJSON(b *parallax.Body) bodyJSON {
	out := bodyJSON{Size: b.Size, SHA256: hex.EncodeToString(b.SHA256[:]), Cut: b.Cut}
	if utf8.Valid(b.Bytes) {
		out.Text = string(b.Bytes)
	} else {
		out.Base64 = b.Bytes
	}
	return out
}
