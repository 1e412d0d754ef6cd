package reports

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ChainRecord is one line of the chain of a service: a decision that was made, and
// the hash of the record before it. So nobody can change, drop, swap or slip in a
// record without changing the hashes of all that follow, down to the head, which
// every verdict names and every CI log keeps.
//
// A line is the record as JSON with its hash as the last field. The hash is SHA-256,
// in hex, over that line without `,"hash":"..."`; the hash of the record before is
// part of it as Prev.
type ChainRecord struct {
	Seq  uint64    `json:"seq"`  // 1 for the first, then one more each
	Prev string    `json:"prev"` // empty for the first
	At   time.Time `json:"at"`
	Kind ChainKind `json:"kind"`

	Verdict *Decided `json:"verdict,omitempty"` // of kind verdict
	Moved   *Moved   `json:"moved,omitempty"`   // of kinds step and rollback
	Access  *Access  `json:"access,omitempty"`  // of kind access
	Note    string   `json:"note,omitempty"`    // of the other kinds: what happened to the file
}

// ChainKind says what a record is about.
type ChainKind string

// The kinds of records. The last four are about the file itself.
const (
	ChainVerdict   ChainKind = "verdict"   // the verdict changed
	ChainStep      ChainKind = "step"      // the step moved
	ChainRollback  ChainKind = "rollback"  // the step went to 0, before anything else
	ChainAccess    ChainKind = "access"    // somebody did something at the admin listener; in the chain of that alone
	ChainLost      ChainKind = "lost"      // records that could not be kept, and how many
	ChainContinues ChainKind = "continues" // the first of a file that follows a full one
	ChainCut       ChainKind = "cut"       // a last line that was not whole was taken off
	ChainBroken    ChainKind = "broken"    // the file was broken; it is kept, and what was good goes on here
)

// Decided is what a verdict said, and on what evidence.
type Decided struct {
	Decision         Decision `json:"verdict"`
	Final            bool     `json:"final"`
	Codes            []Code   `json:"reasons"` // each once, in the order of the verdict
	Step             int      `json:"step"`    // basis points
	RulesVersion     string   `json:"rules_version"`
	Accepted         string   `json:"accepted,omitempty"`
	PolicyVersion    string   `json:"policy_version"`
	PrimaryVersion   string   `json:"primary_version"`
	CandidateVersion string   `json:"candidate_version"`

	Groups map[string]Decision `json:"groups,omitempty"` // on groups of endpoints, by name

	Evidence Folded `json:"evidence"`
}

// Folded names the ticks that evidence was folded from.
type Folded struct {
	Ticks  uint64 `json:"ticks"`
	Digest string `json:"digest"` // SHA-256, in hex, of their lines in an export, in the order of the fold
}

// Moved is a change of the step.
type Moved struct {
	Step   int      `json:"step"`             // basis points
	Groups []string `json:"groups,omitempty"` // of endpoints whose step it is; none: all there are
	Who    string   `json:"who"`
	Reason string   `json:"reason"`
}

// decided returns what the chain keeps of a verdict.
func decided(v Verdict, on Folded) Decided {
	d := Decided{
		Decision: v.Decision, Final: v.Final, Codes: []Code{}, Step: v.Step, RulesVersion: v.RulesVersion, Accepted: v.Accepted,
		PolicyVersion: v.PolicyVersion, PrimaryVersion: v.PrimaryVersion, CandidateVersion: v.CandidateVersion, Evidence: on,
	}
	for _, g := range v.Groups {
		if d.Groups == nil {
			d.Groups = map[string]Decision{}
		}
		d.Groups[g.Group] = g.Decision
	}
	seen := map[Code]bool{}
	for _, r := range v.Reasons {
		if !seen[r.Code] {
			seen[r.Code] = true
			d.Codes = append(d.Codes, r.Code)
		}
	}
	return d
}

// maxChainLine bounds a record, in bytes. The longest that is written has a reason of
// a person and two versions.
const maxChainLine = 32 << 10

const hashField = `,"hash":"`

// seal returns a record as a line, with its hash, and the hash.
func (r ChainRecord) seal() (line []byte, hash string, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, "", err
	}
	hash = hashOf(text)
	line = append(text[:len(text)-1], hashField+hash+"\"}\n"...)
	if len(line) > maxChainLine {
		return nil, "", fmt.Errorf("a record of %d bytes is longer than %d", len(line), maxChainLine)
	}
	return line, hash, nil
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// unseal reads a line without its end. The hash is over the bytes as they stand, so a
// record of a later release with more fields is good too.
func unseal(line []byte) (r ChainRecord, hash string, err error) {
	tail := len(hashField) + 2*sha256.Size + len(`"}`)
	if len(line) < tail || !bytes.HasPrefix(line[len(line)-tail:], []byte(hashField)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return r, "", errors.New("the line does not end with a hash")
	}
	body := append(bytes.Clone(line[:len(line)-tail]), '}')
	hash = string(line[len(line)-len(`"}`)-2*sha256.Size : len(line)-len(`"}`)])
	if found := hashOf(body); found != hash {
		return r, "", fmt.Errorf("the record was changed: its hash is %s and the line says %.64s", found, plain(hash))
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, "", fmt.Errorf("the record cannot be read: %w", err)
	}
	return r, hash, nil
}

// Link is a place in a chain: the record with this number has this hash. The zero
// Link is before the first.
type Link struct {
	Seq  uint64
	Hash string
}

// follows says what is wrong with a record as the next one after a link. The first of
// a file may follow one that is not there any more, if it says so.
func (l Link) follows(r ChainRecord, first bool) error {
	switch {
	case l == Link{} && first && r.Kind == ChainContinues && r.Seq > 1:
		return nil
	case r.Seq != l.Seq+1:
		return fmt.Errorf("record %d stands where %d should: some are missing, or in another order", r.Seq, l.Seq+1)
	case r.Prev != l.Hash:
		return fmt.Errorf("record %d does not follow the one before it: it names %.64q, whose hash is %q", r.Seq, r.Prev, l.Hash)
	}
	return nil
}

// ChainFault says where a chain is broken.
type ChainFault struct {
	Line int // 1 for the first of its file; 0 where another one is meant
	Err  error
}

func (f *ChainFault) Error() string {
	if f.Line == 0 {
		return f.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", f.Line, f.Err)
}

func (f *ChainFault) Unwrap() error { return f.Err }

// ChainEnd is how far a file of a chain is good.
type ChainEnd struct {
	Link  Link
	Lines int
	Size  int64 // of the good lines, in bytes
	Torn  int   // bytes of a last line that is not whole, as after a crash
}

// WalkChain reads the records of a file after a link, the zero Link for the oldest
// file there is, and calls each with its line, which may be nil. An error is a
// [*ChainFault] about the first record that is broken, or r's; everything before it
// is good.
func WalkChain(r io.Reader, after Link, each func(line int, r ChainRecord, hash string)) (ChainEnd, error) {
	end := ChainEnd{Link: after}
	lines := bufio.NewReaderSize(r, maxChainLine)
	for {
		text, err := lines.ReadSlice('\n')
		fault := &ChainFault{Line: end.Lines + 1}
		switch {
		case errors.Is(err, io.EOF):
			end.Torn = len(text)
			return end, nil
		case errors.Is(err, bufio.ErrBufferFull):
			fault.Err = fmt.Errorf("the line is longer than %d bytes", maxChainLine)
			return end, fault
		case err != nil:
			return end, err
		}
		record, hash, err := unseal(text[:len(text)-1])
		if err == nil {
			err = end.Link.follows(record, end.Lines == 0)
		}
		if err != nil {
			fault.Err = err
			return end, fault
		}
		end.Link, end.Lines, end.Size = Link{record.Seq, hash}, end.Lines+1, end.Size+int64(len(text))
		if each != nil {
			each(end.Lines, record, hash)
		}
	}
}
