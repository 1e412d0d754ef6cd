package parallax

import "fmt"

// Fault is one thing that is wrong with a configuration. Path is the place in
// the document, such as services[0].mirror.sample, seen from the value that was
// validated; Hint says what to write instead, and may be empty.
type Fault struct {
	Path, Text, Hint string
}

// Error returns the fault as one sentence.
func (f Fault) Error() string {
	s := f.Text
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	if f.Hint != "" {
		s = fmt.Sprintf("%s (%s)", s, f.Hint)
	}
	return s
}

// Under returns the faults as seen from a document that holds the validated
// value at path.
func Under(path string, faults []Fault) []Fault {
	out := make([]Fault, 0, len(faults))
	for _, f := range faults {
		switch {
		case f.Path == "":
			f.Path = path
		case f.Path[0] == '[':
			f.Path = path + f.Path
		default:
			f.Path = path + "." + f.Path
		}
		out = append(out, f)
	}
	return out
}
