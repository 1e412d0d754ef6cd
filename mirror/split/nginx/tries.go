package nginx

import (
	"fmt"
	"time"
)

// How long an nginx that answers, and does not take a step, is left alone: each attempt fills its
// error log, and what is broken is somebody else's to mend.
const (
	restFirst = 5 * time.Second
	restMost  = time.Minute
)

// tries is what came of pushing a step to an nginx that answers; the zero value: nothing yet.
type tries struct {
	step   int
	failed error
	rest   time.Duration // before the next attempt
	next   time.Time
}

// early returns why a step is not to be pushed again yet; nil: it may be. Another step may be
// at any time.
func (t tries) early(step int, now time.Time) error {
	if t.failed == nil || t.step != step || !now.Before(t.next) {
		return nil
	}
	return fmt.Errorf("%w; it is tried again at %s", t.failed, t.next.UTC().Format(time.TimeOnly))
}

// after returns what is known after an attempt: of a step that failed again, twice the rest.
func (t tries) after(step int, err error, now time.Time) tries {
	if err == nil {
		return tries{}
	}
	rest := restFirst
	if t.failed != nil && t.step == step {
		rest = min(2*t.rest, restMost)
	}
	return tries{step, err, rest, now.Add(rest)}
}
