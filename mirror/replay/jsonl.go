package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parallax"
	"parallax/mirror"
)

// jsonLine is one line of JSON lines. Either target, or url; either body, or
// body_base64. Headers are an object, whose values are texts or lists of texts,
// or a list of pairs, which keeps their order. Other keys are faults.
type jsonLine struct {
	Time   time.Time       `json:"time"`
	Method string          `json:"method"`
	Target string          `json:"target"`
	URL    string          `json:"url"`
	Host   string          `json:"host"`
	Header json.RawMessage `json:"headers"`
	Body   *string         `json:"body"`
	Base64 []byte          `json:"body_base64"`
	User   string          `json:"user"`
	IP     string          `json:"ip"`
}

func parseJSONLine(where string, line []byte) (Request, error) {
	var l jsonLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	err := d.Decode(&l)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more than one value in the line")
		}
	}
	if err != nil {
		return Request{}, &Skip{Malformed, where, fmt.Errorf("cannot read it as JSON: %w", err)}
	}
	r := Request{Time: l.Time, Where: where, Recorded: mirror.Recorded{
		Method: l.Method, Target: l.Target, Host: l.Host, Body: l.Base64, User: l.User, RemoteIP: l.IP,
	}}
	if r.Headers, err = jsonHeaders(l.Header); err != nil {
		return Request{}, &Skip{Malformed, where, err}
	}
	switch {
	case l.URL != "" && l.Target != "":
		err = errors.New("there are both target and url; write one of them")
	case l.Body != nil && l.Base64 != nil:
		err = errors.New("there are both body and body_base64; write one of them")
	case l.Body != nil:
		r.Body = []byte(*l.Body)
	}
	if err == nil && l.URL != "" {
		err = r.setURL(l.URL)
	}
	return r.checked(err)
}

// setURL takes target and host of a URL.
func (r *Request) setURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("the URL cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return &Skip{NotHTTP, r.Where, fmt.Errorf("the scheme %q is not that of HTTP", u.Scheme)}
	}
	if r.Host == "" {
		r.Host = u.Host
	}
	r.Target = targetOf(text, u)
	return nil
}

// targetOf returns path and query of a URL as they are written, since escaping
// them anew would make other bytes of them. Where something stands in the path
// that cannot be sent, a space say, it is escaped.
func targetOf(text string, u *url.URL) string {
	_, text, _ = strings.Cut(text, "://")
	text, _, _ = strings.Cut(text, "#")
	i := strings.IndexAny(text, "/?")
	if i < 0 {
		return "/"
	}
	path, query, found := strings.Cut(text[i:], "?")
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	if found {
		return path + "?" + query
	}
	return path
}

// lacksBody says that the recording has less of a body than the n bytes it had.
func (r Request) lacksBody(n int64) *Skip {
	reason := CutBody
	if len(r.Body) == 0 {
		reason = NoBody
	}
	return &Skip{reason, r.Where, fmt.Errorf("its body had %d bytes, of which the recording has %d", n, len(r.Body))}
}

// checked returns the request, or a Skip if it cannot be sent, or is not what was
// recorded: less of its body is there than its Content-Length says.
func (r Request) checked(err error) (Request, error) {
	if err == nil {
		err = r.Fault()
	}
	for _, h := range r.Headers {
		if n, e := strconv.ParseInt(h.Value, 10, 64); err == nil && e == nil && strings.EqualFold(h.Name, "Content-Length") && n > int64(len(r.Body)) {
			err = r.lacksBody(n)
		}
	}
	if skip, ok := errors.AsType[*Skip](err); ok {
		return Request{}, skip
	}
	if err != nil {
		return Request{}, &Skip{Malformed, r.Where, err}
	}
	return r, nil
}

// jsonHeaders reads headers in either form, in the order in which they stand.
func jsonHeaders(raw json.RawMessage) ([]parallax.Field, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var pairs [][2]string
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &pairs); err != nil {
			return nil, errors.New(`headers are not a list of pairs such as [["Accept", "*/*"]]`)
		}
		var out []parallax.Field
		for _, p := range pairs {
			out = append(out, parallax.Field{Name: p[0], Value: p[1]})
		}
		return out, nil
	}
	out, err := headerObject(raw)
	if err != nil {
		return nil, errors.New(`headers are not an object such as {"Accept": "*/*"}`)
	}
	return out, nil
}

func headerObject(raw json.RawMessage) (out []parallax.Field, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, io.ErrUnexpectedEOF
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		var one string
		var many []string
		if json.Unmarshal(value, &one) == nil {
			many = []string{one}
		} else if err := json.Unmarshal(value, &many); err != nil {
			return nil, err
		}
		for _, v := range many {
			out = append(out, parallax.Field{Name: name, Value: v})
		}
	}
	return out, nil
}
