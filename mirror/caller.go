package mirror

import "parallax"

// Caller is whose request a service makes a call for, as the role mark says that it
// passes on in baggage.
type Caller struct {
	Service  string // whose leg was asked
	Exchange parallax.ID
	Shadow   bool
}

// Callers returns a function that reads the genuine role mark out of the lines of a
// baggage header; false if there is none. Several goroutines may call it.
func Callers(fleet []byte) func(baggage []string) (Caller, bool) {
	key := newMACs(fleet)
	return func(baggage []string) (Caller, bool) {
		fields := make([]parallax.Field, len(baggage))
		for i, line := range baggage {
			fields[i] = parallax.Field{Name: "Baggage", Value: line}
		}
		m, ok := findMark(key, fields)
		return Caller{m.service, m.exchange, m.role == shadow}, ok
	}
}
