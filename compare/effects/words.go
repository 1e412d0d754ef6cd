package effects

import (
	"slices"
	"strings"
	"time"

	"parallax"
)

// Bounds of correlation by key.
const (
	maxWords   = 512                   // of a leg of an exchange that keys are looked for in
	maxWordLen = 128                   // bytes
	clockSlack = 50 * time.Millisecond // by which the clocks of Parallax and of a database may differ
)

// words lists the words of a request and its answer: what stands between signs in the
// target, the bodies and the Location header, each once.
func words(call *parallax.Call) []string {
	seen := map[string]bool{}
	var out []string
	add := func(text string) {
		for word := range strings.FieldsFuncSeq(text, notInWord) {
			if word = strings.Trim(word, ".-"); word == "" || len(word) > maxWordLen || seen[word] || len(out) == maxWords {
				continue
			}
			seen[word] = true
			out = append(out, strings.Clone(word))
		}
	}
	add(call.Request.Target)
	for _, f := range call.Response.Headers {
		if strings.EqualFold(f.Name, "location") {
			add(f.Value)
		}
	}
	add(string(call.Response.Body.Bytes))
	add(string(call.Request.Body.Bytes))
	return out
}

func notInWord(r rune) bool {
	switch {
	case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', r == '-', r == '_', r == '.', r >= 0x80:
		return false
	}
	return true
}

// keyWords lists the values of the keys of a transaction's rows, each once.
func keyWords(tx *Transaction) []string {
	var out []string
	for i := range tx.Changes {
		for k := range tx.Changes[i].Key {
			v := tx.Changes[i].Key[k].Value
			if v != nil && *v != "" && len(*v) <= maxWordLen && len(out) < maxWords && !slices.Contains(out, *v) {
				out = append(out, *v)
			}
		}
	}
	return out
}

// said is what an exchange says, and when.
type said struct {
	from, until time.Time
	words       [2][]string // of each leg
}

// saidAge is how long after its settle time an exchange's words are remembered, so that
// another one of the same time is not taken for the only one.
const saidAge = 30 * time.Second

// say lets keys be looked for in an exchange.
func (n *exchanges) say(s *said) {
	for _, leg := range legs {
		for _, word := range s.words[leg] {
			n.byWord.add(wordKey{leg, word}, s)
		}
	}
}

func (n *exchanges) unsay(k *known) {
	for _, leg := range legs {
		for _, word := range k.said.words[leg] {
			n.byWord.drop(wordKey{leg, word}, k.said)
		}
	}
	k.said = nil
}

// keyed returns the transactions that say nothing of their exchange, were committed in
// the time of this one, and have a key that stands in it and in no other of that time.
func (j *Joiner) keyed(w *waiting, leg parallax.Leg) (mine []*entry) {
	if w.said == nil {
		return nil
	}
	for _, word := range w.said.words[leg] {
		for e := range j.entries.byWord[wordKey{leg, word}] {
			if !slices.Contains(mine, e) && w.said.holds(e.tx.At) && j.onlyOne(w.said, e) {
				mine = append(mine, e)
			}
		}
	}
	return mine
}

// holds reports whether a commit lies in the time of an exchange.
func (s *said) holds(at time.Time) bool {
	return !at.Before(s.from.Add(-clockSlack)) && !at.After(s.until.Add(clockSlack))
}

// onlyOne reports whether no other exchange fits a transaction.
func (j *Joiner) onlyOne(s *said, e *entry) bool {
	for _, word := range keyWords(&e.tx) {
		for other := range j.exchange.byWord[wordKey{e.source.leg, word}] {
			if other != s && other.holds(e.tx.At) {
				return false
			}
		}
	}
	return true
}
