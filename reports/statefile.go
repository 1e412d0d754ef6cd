package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"parallax"
	"parallax/internal/atomicfile"
)

// State is what must outlive Parallax and its store: who is on the candidate, on
// whose word, and a rollback that was decided.
type State struct {
	Step   int       `json:"step"` // basis points of users on the candidate
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Paused bool      `json:"paused"` // the policy is paused: by a person, or a person's rollback

	// Until is when a step that a person set stops standing against the policy; zero for
	// the policy's own, or one that was released.
	Until time.Time `json:"until,omitzero"`

	// Groups is where the groups of endpoints stand, by name, each with a step of its own; nil where all
	// have one. Step is the highest of them.
	Groups map[string]GroupStep `json:"groups,omitempty"`

	Latch *Latch `json:"latch,omitempty"`

	// Version, Era and Trail say which word this is of a step that several mirrors share; zero where
	// they do not. Owed says that the others have not heard of this one, which is to step 0.
	Version uint64 `json:"version,omitzero"`
	Era     string `json:"era,omitempty"`
	Trail   string `json:"trail,omitempty"`
	Owed    bool   `json:"owed,omitzero"`

	// EvidenceFrom is when a person started new evidence; zero for never. What was
	// counted before it does not count.
	EvidenceFrom time.Time `json:"evidence_from,omitzero"`

	// Mirroring is a person's pause of mirroring; nil while there is none.
	Mirroring *MirroringPause `json:"mirroring_paused,omitempty"`

	// MirroringVersion says which word that is, or that there is none, of those that several processes
	// share; zero where they do not. MirroringOwed says that the others have not heard of the pause.
	MirroringVersion uint64 `json:"mirroring_version,omitzero"`
	MirroringOwed    bool   `json:"mirroring_owed,omitzero"`

	// Tripped are the legs that are asked as a shadow no more, until a person says
	// that they may be.
	Tripped []LegTrip `json:"tripped,omitempty"`

	// Copy is the copy that the candidate's database is being made from, or was; nil: there
	// was none.
	Copy *LegCopy `json:"copy,omitempty"`

	// Pushed is what was read back last from the splitters outside, by their names.
	Pushed map[string]Pushed `json:"pushed,omitempty"`
}

// Pushed is a step that was read back from a splitter outside.
type Pushed struct {
	Step    int       `json:"step"`
	At      time.Time `json:"at"`      // when the step was set here
	Process string    `json:"process"` // of the splitter; empty: it does not tell
	Base    int       `json:"base"`    // the step that stood there before the first one was pushed
}

// LegCopy is that the candidate's database is made anew, from a copy of the primary's.
type LegCopy struct {
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"` // zero: it is being made

	// The copy has what was committed at or before Position in the log of the primary's
	// database, which was passed between From and Until. They are zero before it is known.
	Position string    `json:"position,omitempty"`
	From     time.Time `json:"from,omitzero"`
	Until    time.Time `json:"until,omitzero"`

	// Before is the copy that the database was made from which is to be replaced.
	Before *LegCopy `json:"before,omitempty"`
}

// LegTrip is that a leg did as a shadow what it must not.
type LegTrip struct {
	Leg    string    `json:"leg"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// MirroringPause is that mirroring stands still on a person's word.
type MirroringPause struct {
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Moved returns the state with the step of another, and all that is said about it.
func (s State) Moved(to State) State {
	s.Step, s.Who, s.Reason, s.At, s.Paused, s.Until = to.Step, to.Who, to.Reason, to.At, to.Paused, to.Until
	s.Version, s.Era, s.Trail, s.Owed, s.Groups = to.Version, to.Era, to.Trail, to.Owed, to.Groups
	return s
}

// RestartEvidence sets everything aside that is known at a time, and a rollback
// that was decided on it. It is for a new build of a candidate that does not tell
// its version.
func (s *State) RestartEvidence(at time.Time) {
	s.EvidenceFrom, s.Latch = at.UTC(), nil
}

// StateFile keeps the state of one service on disk. Its methods may be called
// from any goroutine; one process at a time may have it open.
type StateFile struct {
	path  string
	mu    sync.Mutex
	state State
}

// OpenState reads the state of a service from dir/SERVICE.json. Without a file
// it is the zero State: nobody is on the candidate. A file that cannot be read or
// makes no sense is an error, never step 0: users may be on the candidate, and
// what they wrote may be there only.
func OpenState(dir, service string) (*StateFile, error) {
	f := &StateFile{path: filepath.Join(dir, url.PathEscape(service)+".json")}
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = f.state.parse(text)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the state of %s from %q, and do not guess which users are on the candidate: %w; mend the file, or remove it to start at step 0", service, f.path, err)
	}
	return f, nil
}

func (s *State) parse(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("there is more behind the state")
	}
	return s.check()
}

func (s *State) check() error {
	if s.Step < 0 || s.Step > 10_000 {
		return fmt.Errorf("step %d is not in 0..10000", s.Step)
	}
	for _, t := range s.Tripped {
		if _, ok := parallax.ParseLeg(t.Leg); !ok {
			return fmt.Errorf("there is no leg %q", t.Leg)
		}
	}
	return s.checkGroups()
}

// State returns the state as it was last written.
func (f *StateFile) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Update changes the state and writes it, see [atomicfile.Replace]. After an error
// the old state is in force and the file holds either, whole.
func (f *StateFile) Update(change func(*State)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.state
	change(&next)
	if err := next.check(); err != nil {
		return err
	}
	if err := f.write(next); err != nil {
		return fmt.Errorf("cannot write the state to %q: %w", f.path, err)
	}
	f.state = next
	return nil
}

func (f *StateFile) write(s State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Replace(f.path, append(text, '\n'))
}
