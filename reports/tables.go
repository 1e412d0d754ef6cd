package reports

import (
	"fmt"
	"strings"
	"time"
)

// Tables is what comparing whole tables of both databases found last, beside what
// exchanges show.
type Tables struct {
	Began  time.Time    `json:"began"`
	Ended  time.Time    `json:"ended"`
	Error  string       `json:"error,omitempty"` // why it was not done to its end
	Tables []TableState `json:"tables"`
}

// TableState is what comparing one table found.
type TableState struct {
	Table       string   `json:"table"`               // the primary's name
	Candidate   string   `json:"candidate,omitempty"` // the candidate's, if another
	By          string   `json:"by"`                  // how rows were brought together
	Rows        int64    `json:"rows"`                // of the primary
	Differences int      `json:"differences"`
	More        bool     `json:"more,omitempty"`  // there are more
	Young       int      `json:"young,omitempty"` // rows that differ and are too young to judge
	First       []string `json:"first,omitempty"` // of the differences, redacted
}

// Differences is how many were found in all tables.
func (t *Tables) Differences() (n int) {
	for _, each := range t.Tables {
		n += each.Differences
	}
	return n
}

// Sentence says what was found, for people.
func (t *Tables) Sentence() string {
	if t.Error != "" {
		return fmt.Sprintf("whole tables could not be compared (%s): %s", t.Ended.UTC().Format(time.DateTime), t.Error)
	}
	var rows int64
	var differ []string
	for _, each := range t.Tables {
		rows += each.Rows
		if each.Differences > 0 {
			more := ""
			if each.More {
				more = "more than "
			}
			differ = append(differ, fmt.Sprintf("%s%s in %s", more, number(int64(each.Differences)), each.Table))
		}
	}
	found := "no difference"
	if len(differ) > 0 {
		found = "differences: " + strings.Join(differ, ", ")
	}
	return fmt.Sprintf("whole tables, compared until %s: %s, %s rows of %d tables", t.Ended.UTC().Format(time.DateTime), found, number(rows), len(t.Tables))
}
