package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"strings"
)

// maxDepth is how deep a document may nest to be laid out; a deeper one is shown
// as it came.
const maxDepth = 200

var errDepth = errors.New("the document nests too deeply")

// prettyJSON lays a document out a value a line, with the keys of objects in
// alphabetical order so that two documents align. Numbers keep their spelling
// and repeated keys stay. It is false when data is not one JSON document.
func prettyJSON(data []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return "", false
	}
	if _, err := d.Token(); err != io.EOF {
		return "", false
	}
	var b strings.Builder
	v.write(&b, "")
	return b.String(), true
}

// value is a JSON value; exactly one of its fields is meant, by open.
type value struct {
	open    byte // '{', '[' or 0 for a scalar
	scalar  string
	members []member
}

type member struct {
	key   string
	value value
}

func readValue(d *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errDepth
	}
	token, err := d.Token()
	if err != nil {
		return value{}, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return value{scalar: quoted(token)}, nil
	}
	v := value{open: byte(delim)}
	for d.More() {
		var m member
		if v.open == '{' {
			key, err := d.Token()
			if err != nil {
				return value{}, err
			}
			m.key = quoted(key)
		}
		if m.value, err = readValue(d, depth+1); err != nil {
			return value{}, err
		}
		v.members = append(v.members, m)
	}
	if _, err := d.Token(); err != nil {
		return value{}, err
	}
	if v.open == '{' {
		sort.SliceStable(v.members, func(i, j int) bool { return v.members[i].key < v.members[j].key })
	}
	return v, nil
}

// quoted writes a scalar as JSON, without escaping for HTML: the template does
// that.
func quoted(token json.Token) string {
	if n, ok := token.(json.Number); ok {
		return n.String()
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(token); err != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (v value) write(b *strings.Builder, indent string) {
	if v.open == 0 {
		b.WriteString(v.scalar)
		return
	}
	closing := map[byte]byte{'{': '}', '[': ']'}[v.open]
	b.WriteByte(v.open)
	if len(v.members) == 0 {
		b.WriteByte(closing)
		return
	}
	for i, m := range v.members {
		b.WriteString("\n" + indent + "  ")
		if v.open == '{' {
			b.WriteString(m.key + ": ")
		}
		m.value.write(b, indent+"  ")
		if i < len(v.members)-1 {
			b.WriteByte(',')
		}
	}
	b.WriteString("\n" + indent)
	b.WriteByte(closing)
}
