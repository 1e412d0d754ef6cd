package effects

import (
	"fmt"
	"time"

	"parallax"
)

// Verify says how whole tables of both databases are compared, beside what each
// exchange did to them.
type Verify struct {
	Every  time.Duration `yaml:"every" doc:"how often whole tables of both databases are compared, such as 6h; 0: only by parallax effects verify"`
	MinAge time.Duration `yaml:"min_age" doc:"rows that were changed later than this ago are left out: they may be on their way; 0: none are"`
	Rate   int           `yaml:"rate" doc:"rows a second that are read of each database, at most; 0: as fast as goes without statements of more than 300 ms"`
}

// DefaultVerify is where every configuration starts from.
func DefaultVerify() Verify { return Verify{MinAge: time.Minute} }

// leastEvery is the least time between two comparisons of whole tables.
const leastEvery = time.Minute

// Validate returns everything that is wrong with v.
func (v Verify) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if v.Every != 0 && v.Every < leastEvery {
		faults = append(faults, parallax.Fault{Path: "every", Text: fmt.Sprintf("%s is less than %s", v.Every, leastEvery), Hint: "whole tables are read: 6h is often enough"})
	}
	if v.MinAge < 0 {
		faults = append(faults, parallax.Fault{Path: "min_age", Text: "is negative"})
	}
	if v.Rate < 0 {
		faults = append(faults, parallax.Fault{Path: "rate", Text: "is negative"})
	}
	return faults
}
