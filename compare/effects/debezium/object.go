package debezium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// field is one member of a JSON object.
type field struct {
	name string
	raw  json.RawMessage
}

// object is a JSON object as it was written: in order. Of names that come twice the last
// one counts.
type object struct {
	at     string // where it stands, such as payload.source
	fields []field
}

// maxColumns is more than any database's tables have.
const maxColumns = 5000

var errNoObject = errors.New("is not an object")

// readObject reads the members of an object, and not what is in them.
func readObject(at string, raw json.RawMessage) (object, error) {
	o := object{at: at}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return o, o.fault("", errNoObject.Error())
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return o, o.fault("", err.Error())
		}
		f := field{name: name.(string)} // a name is a text, or Token had failed
		if err := d.Decode(&f.raw); err != nil {
			return o, o.fault(f.name, err.Error())
		}
		if len(o.fields) >= maxColumns {
			return o, o.fault("", fmt.Sprintf("has more than %d members", maxColumns))
		}
		o.fields = append(o.fields, f)
	}
	return o, nil
}

// fault says what is wrong with a member, or with the object if the name is empty.
func (o object) fault(name, text string) error {
	return Fault{Field: join(o.at, name), Text: text}
}

func join(at, name string) string {
	switch {
	case at == "":
		return name
	case name == "":
		return at
	}
	return at + "." + name
}

// get returns a member, nil if it is not there or null.
func (o object) get(name string) json.RawMessage {
	for i := len(o.fields) - 1; i >= 0; i-- {
		if o.fields[i].name == name {
			if isNull(o.fields[i].raw) {
				return nil
			}
			return o.fields[i].raw
		}
	}
	return nil
}

// has reports whether there is a member, null or not.
func (o object) has(name string) bool {
	for i := range o.fields {
		if o.fields[i].name == name {
			return true
		}
	}
	return false
}

// only reports whether there is no member but these.
func (o object) only(names ...string) bool {
	for i := range o.fields {
		found := false
		for _, name := range names {
			found = found || o.fields[i].name == name
		}
		if !found {
			return false
		}
	}
	return true
}

// object returns a member that is an object; without members if it is not there.
func (o object) object(name string) (object, error) {
	raw := o.get(name)
	if raw == nil {
		return object{at: join(o.at, name)}, nil
	}
	return readObject(join(o.at, name), raw)
}

// text returns a member that is a text; empty if it is not there.
func (o object) text(name string) (string, error) {
	raw := o.get(name)
	if raw == nil {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", o.fault(name, "is not a text")
	}
	return s, nil
}

// integer returns a member that is a whole number, or a text of one; 0 if it is not
// there.
func (o object) integer(name string) (int64, error) {
	raw := o.get(name)
	if raw == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(bytes.Trim(raw, `"`)), 10, 64)
	if err != nil {
		return 0, o.fault(name, "is not a whole number")
	}
	return n, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 4 && string(raw) == "null" }
