package replay

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/mirror"
)

// maxHAR bounds a HAR file, in bytes: its requests are held in memory, because
// they need not be in order.
const maxHAR = 1 << 30

// harEntry is what is read of an entry of HAR 1.2.
type harEntry struct {
	Started time.Time `json:"startedDateTime"`
	Request *struct {
		Method   string                         `json:"method"`
		URL      string                         `json:"url"`
		Headers  []struct{ Name, Value string } `json:"headers"`
		BodySize int64                          `json:"bodySize"` // -1: unknown
		PostData *struct {
			Text     string            `json:"text"`
			Encoding string            `json:"encoding"` // an extension of many tools: base64
			Params   []json.RawMessage `json:"params"`
		} `json:"postData"`
	} `json:"request"`
}

// entries is a HAR file, in the order of its times.
type entries struct {
	list []entry
	next int
}

type entry struct {
	Request
	skip *Skip
}

func openHAR(file string) (Source, error) {
	f, size, err := open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxHAR {
		return nil, fmt.Errorf("%s has %d bytes; split it into files of at most %d", file, size, maxHAR)
	}
	s := &entries{}
	if err := s.read(filepath.Base(file), json.NewDecoder(io.LimitReader(f, maxHAR))); err != nil {
		return nil, fmt.Errorf("cannot read %s as HAR 1.2: %w; export it again", file, err)
	}
	slices.SortStableFunc(s.list, func(a, b entry) int { return a.Time.Compare(b.Time) })
	return s, nil
}

// read goes down to log.entries, and reads one entry after the other.
func (s *entries) read(name string, d *json.Decoder) error {
	if err := enter(d, "log"); err != nil {
		return err
	}
	if err := enter(d, "entries"); err != nil {
		return err
	}
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("log.entries is not a list")
	}
	for n := 1; d.More(); n++ {
		where := fmt.Sprintf("%s: entry %d", name, n)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("entry %d, at byte %d: %w", n, d.InputOffset(), err)
		}
		r, err := parseEntry(where, raw)
		skip, _ := errors.AsType[*Skip](err)
		s.list = append(s.list, entry{r, skip})
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the file ends within log.entries: %w", err)
	}
	return nil
}

// enter passes to the value of a key of the object that comes.
func enter(d *json.Decoder, key string) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("there is no object that holds %q", key)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if t == key {
			return nil
		}
		var other json.RawMessage
		if err := d.Decode(&other); err != nil {
			return err
		}
	}
	return fmt.Errorf("there is no %q", key)
}

func parseEntry(where string, raw json.RawMessage) (Request, error) {
	var e harEntry
	if err := json.Unmarshal(raw, &e); err != nil {
		return Request{}, &Skip{Malformed, where, err}
	}
	q := e.Request
	if q == nil {
		return Request{}, &Skip{Malformed, where, errors.New("there is no request")}
	}
	r := Request{Time: e.Started, Where: where, Recorded: mirror.Recorded{Method: q.Method}}
	for _, h := range q.Headers {
		switch {
		case strings.EqualFold(h.Name, "Host"), h.Name == ":authority":
			r.Host = h.Value
		case strings.EqualFold(h.Name, "Upgrade"):
			return Request{}, &Skip{NotHTTP, where, errors.New("it changes protocols")}
		case !strings.HasPrefix(h.Name, ":"):
			r.Headers = append(r.Headers, parallax.Field{Name: h.Name, Value: h.Value})
		}
	}
	if p := q.PostData; p != nil {
		if r.Body = []byte(p.Text); p.Encoding == "base64" {
			var err error
			if r.Body, err = base64.StdEncoding.DecodeString(p.Text); err != nil {
				return Request{}, &Skip{Malformed, where, errors.New("its body is not base64")}
			}
		}
		if len(r.Body) == 0 && len(p.Params) > 0 {
			return Request{}, &Skip{NoBody, where, errors.New("the recording has the parameters of its body and not the body")}
		}
	}
	if q.BodySize > int64(len(r.Body)) {
		return Request{}, r.lacksBody(q.BodySize)
	}
	before, _, _ := strings.Cut(q.URL, "#")
	return r.checked(r.setURL(before))
}

// Next implements [Source].
func (s *entries) Next() (Request, error) {
	if s.next == len(s.list) {
		return Request{}, io.EOF
	}
	e := s.list[s.next]
	s.list[s.next] = entry{} // its memory is needed no more
	s.next++
	if e.skip != nil {
		return Request{}, e.skip
	}
	return e.Request, nil
}

// Progress implements [Source]. It counts requests.
func (s *entries) Progress() (done, total int64) { return int64(s.next), int64(len(s.list)) }

// Close implements [Source].
func (s *entries) Close() error { return nil }
