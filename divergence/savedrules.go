package divergence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax/internal/atomicfile"
)

// RulesKind is the kind of the decisions that are saved rules; their key is RulesKey.
const (
	RulesKind = "rules"
	RulesKey  = "saved"
)

// SavedRules are the rules of a service that people saved while it ran, besides those of
// the configuration. The last ones are in force.
type SavedRules struct {
	Version string    `json:"version"`     // of the text, also where nothing was saved yet
	Text    string    `json:"text"`        // as it was written, in YAML or JSON; empty: no rules
	At      time.Time `json:"at,omitzero"` // zero: nothing was saved yet
	Who     string    `json:"who,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// MaxSavedRules bounds the text of saved rules, in bytes.
const MaxSavedRules = 256 << 10

// ErrOtherRules says that rules were changed by somebody else meanwhile.
var ErrOtherRules = errors.New("the rules were saved by somebody else meanwhile")

// NewSavedRules returns a text to be saved. Line ends become those of Unix, and what is
// blank around it falls away, so that a form gives the same text as a file.
func NewSavedRules(text string) SavedRules {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if text != "" {
		text += "\n"
	}
	hash := sha256.Sum256([]byte(text))
	return SavedRules{Version: hex.EncodeToString(hash[:6]), Text: text}
}

// rulesPage is what people saved of one service, and the refresh that read it.
type rulesPage struct {
	begun uint64
	saved SavedRules
}

// Rules returns the rules of a service that were saved last, as far as is known. It does
// not block on I/O.
func (b *Board) Rules(service string) SavedRules {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if page, ok := b.rules[service]; ok {
		return page.saved
	}
	return NewSavedRules("")
}

// SaveRules stores rules in place of those of the version base, and puts them in force in
// this process; others read them within seconds. It fails with [ErrOtherRules] if they are
// not those of base any more, and with [ErrAway] while the store is away. Two processes that
// save within the same moment both succeed; the later stands, and both are in the history.
func (b *Board) SaveRules(ctx context.Context, service string, s SavedRules, base string) error {
	b.saving.Lock()
	defer b.saving.Unlock()
	if err := b.refresh(ctx, service); err != nil {
		return err
	}
	before := b.Rules(service)
	if before.Version != base {
		return fmt.Errorf("%w: by %s at %s; they are of version %s now, and these were made from %.40q", ErrOtherRules, before.Who, before.At.Format(time.RFC3339), before.Version, base)
	}
	if s.At = s.At.UTC().Truncate(time.Microsecond); !s.At.After(before.At) { // another process's clock is ahead
		s.At = before.At.Add(time.Microsecond)
	}
	if err := b.cfg.Store.AppendDecision(ctx, Decision{At: s.At, Service: service, Kind: RulesKind, Key: RulesKey, Value: s.Text, Who: s.Who, Note: s.Reason}); err != nil {
		return err
	}
	return b.refresh(ctx, service)
}

// lastRules returns the rules of a service that were saved last, those of no text if none
// ever were.
func (s *Store) lastRules(ctx context.Context, service string) (SavedRules, error) {
	cond := forService(service).equal("kind", RulesKind).equal("key", RulesKey)
	out := NewSavedRules("")
	err := s.each(ctx, `SELECT at, value, who, note FROM decisions `+cond.String()+` ORDER BY at DESC, value DESC LIMIT 1`, cond.args, func(rows driver.Rows) error {
		var at time.Time
		var text, who, reason string
		if err := rows.Scan(&at, &text, &who, &reason); err != nil {
			return err
		}
		out = NewSavedRules(text)
		out.At, out.Who, out.Reason = at.UTC(), who, reason
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("cannot read the rules that were saved: %w", err)
	}
	return out, nil
}

// putRules puts in force what a refresh read, unless one that began later did. It is on
// disk before, so that a process that starts without the store judges alike.
func (b *Board) putRules(service string, page rulesPage) error {
	b.putting.Lock()
	defer b.putting.Unlock()
	b.mu.RLock()
	before := b.rules[service]
	b.mu.RUnlock()
	if page.begun < before.begun {
		return nil
	}
	if page.saved != before.saved && (!page.saved.At.IsZero() || !before.saved.At.IsZero()) {
		if err := b.keepRules(service, page.saved); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules[service] = page
	return nil
}

func (b *Board) keepRules(service string, s SavedRules) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = atomicfile.Replace(b.rulesFile(service), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot keep the rules that were saved of %s: %w", service, err)
	}
	return nil
}

// openRules reads the rules that were last known. It fails when there is a file that
// cannot be read: without it, evidence would start anew.
func (b *Board) openRules(service string) error {
	text, err := readBounded(b.rulesFile(service), 8*MaxSavedRules) // a character may take six
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var kept SavedRules
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return fmt.Errorf("cannot read the rules that were saved of %s from %q: %w; mend the file, or remove it to ask the store", service, b.rulesFile(service), err)
	}
	saved := NewSavedRules(kept.Text)
	saved.At, saved.Who, saved.Reason = kept.At.UTC(), kept.Who, kept.Reason
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules[service] = rulesPage{saved: saved}
	return nil
}

func (b *Board) rulesFile(service string) string {
	return filepath.Join(b.cfg.Dir, "rules", url.PathEscape(service)+".json")
}
