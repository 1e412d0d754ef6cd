package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/internal/yamlstrict"
	"parallax/ui"
)

// tokenFile is the file that admin.tokens names. It holds hashes, and so no secret: tokens are random and long,
// so that nobody finds one by its hash.
type tokenFile struct {
	Tokens []tokenLine `yaml:"tokens"`
}

// tokenLine is one token.
type tokenLine struct {
	Name     string   `yaml:"name"`
	Role     string   `yaml:"role"`
	SHA256   string   `yaml:"sha256"` // of the token as it is sent, in hex
	Services []string `yaml:"services"`
	Expires  string   `yaml:"expires"` // last day, UTC
}

// hold is a holder, and how long.
type hold struct {
	ui.Holder
	until time.Time // zero: for good
}

type tokenHash [sha256.Size]byte

// readTokens reads a file of tokens. Its faults name the places in it.
func readTokens(file string) (map[tokenHash]hold, []yamlstrict.Fault, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return nil, nil, fmt.Errorf("cannot use the tokens in %q: others may write it (mode %04o); run: chmod o-w %s", file, mode, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	var f tokenFile
	doc, faults := yamlstrict.Decode(file, text, &f)
	holds, wrong := f.holds()
	for _, w := range wrong {
		faults = append(faults, doc.At(w.Path, w.Text, w.Hint))
	}
	return holds, faults, nil
}

// holds returns who holds which token, and what is wrong with the lines.
func (f tokenFile) holds() (map[tokenHash]hold, []parallax.Fault) {
	out, names := make(map[tokenHash]hold, len(f.Tokens)), map[string]int{}
	var faults []parallax.Fault
	if len(f.Tokens) == 0 {
		faults = append(faults, parallax.Fault{Path: "tokens", Text: "there is none, so that nobody is let in", Hint: "make one with parallax token --role admin --name NAME"})
	}
	for i, l := range f.Tokens {
		at := fmt.Sprintf("tokens[%d]", i)
		found, hash, holder := l.read()
		if first, ok := names[l.Name]; ok && l.Name != "" {
			found = append(found, parallax.Fault{Path: "name", Text: fmt.Sprintf("%q is the name of tokens[%d] too", l.Name, first), Hint: "give each token a name of its own: changes are signed by it"})
		}
		if _, ok := out[hash]; ok && hash != (tokenHash{}) {
			found = append(found, parallax.Fault{Path: "sha256", Text: "is that of another token too", Hint: "make one with parallax token"})
		}
		names[l.Name], out[hash] = i, holder
		faults = append(faults, parallax.Under(at, found)...)
	}
	delete(out, tokenHash{})
	return out, faults
}

// read returns who holds the token of a line.
func (l tokenLine) read() (faults []parallax.Fault, hash tokenHash, h hold) {
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if !tokenName(l.Name) {
		fault("name", fmt.Sprintf("cannot use %.70q as a name", l.Name), "write up to 63 letters, digits, dots, dashes and underscores, such as ci-shop")
	}
	if !slices.Contains(ui.Roles, ui.Role(l.Role)) {
		fault("role", fmt.Sprintf("there is no role %.40q", l.Role), "write one of "+roleNames())
	}
	if n, err := hex.Decode(hash[:], []byte(fit(l.SHA256))); err != nil || n != len(hash) {
		hash = tokenHash{}
		fault("sha256", "is not 64 hexadecimal digits", "write what parallax token prints, or what printf %s TOKEN | sha256sum says")
	}
	until := time.Time{}
	if l.Expires != "" {
		day, err := time.Parse(time.DateOnly, l.Expires)
		if err != nil {
			fault("expires", fmt.Sprintf("%.40q is no day", l.Expires), "write the last day, such as 2027-06-30")
		}
		until = day.AddDate(0, 0, 1)
	}
	return faults, hash, hold{ui.Holder{Name: l.Name, Role: ui.Role(l.Role), Services: l.Services}, until}
}

// fit is a hash in hex if it has its length, else nothing: hex.Decode would write past the end.
func fit(text string) string {
	if len(text) != hex.EncodedLen(sha256.Size) {
		return ""
	}
	return text
}

func tokenName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func roleNames() string {
	var names []string
	for _, r := range ui.Roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// tokensLookEvery is for how long a request trusts that the file of tokens has not changed: a token
// that is taken out of it is in force that long.
const tokensLookEvery = time.Second

// door knows who holds which token, from a file that is read again when it changes. One that cannot be used
// leaves the tokens of before in force.
type door struct {
	file string
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex // for all below
	holds map[tokenHash]hold
	seen  stamp
	next  time.Time // when to look again
	told  string    // why it could not be used, as it was logged
}

// stamp tells a file that was changed.
type stamp struct {
	at   time.Time
	size int64
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

var _ ui.Door = (*door)(nil)

// openDoor reads the tokens for the first time.
func openDoor(file string, now func() time.Time, log *slog.Logger) (*door, error) {
	d := &door{file: file, now: now, log: log, seen: stampOf(file)}
	var err error
	d.holds, err = usable(file)
	return d, err
}

// usable returns the tokens of a file without faults.
func usable(file string) (map[tokenHash]hold, error) {
	holds, faults, err := readTokens(file)
	if err == nil && len(faults) > 0 {
		err = errors.New(faults[0].Error())
	}
	return holds, err
}

// Holder implements [ui.Door]. What is looked up is the token's hash, so that how long it takes says nothing
// about a token.
func (d *door) Holder(token string) (ui.Holder, bool) {
	if token == "" || len(token) > maxToken {
		return ui.Holder{}, false
	}
	h, known := d.current()[sha256.Sum256([]byte(token))]
	if !known || !h.until.IsZero() && !d.now().Before(h.until) {
		return ui.Holder{}, false
	}
	return h.Holder, true
}

// maxToken is longer than any token there is, in bytes.
const maxToken = 256

func (d *door) current() map[tokenHash]hold {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); now.Before(d.next) {
		return d.holds
	} else {
		d.next = now.Add(tokensLookEvery)
	}
	seen := stampOf(d.file)
	if seen == d.seen {
		return d.holds
	}
	holds, err := usable(d.file)
	if err != nil {
		if text := err.Error(); text != d.told {
			d.log.Error("the tokens changed and cannot be used; those of before stay in force", "error", err)
			d.told = text
		}
		return d.holds
	}
	d.log.Info("the tokens were read again", "file", d.file, "tokens", len(holds))
	d.holds, d.seen, d.told = holds, seen, ""
	return d.holds
}

const tokenUsage = "token --role ci|viewer|reviewer|editor|admin --name NAME [--service S]... [--expires 2027-06-30]"

// runToken makes a token: it is printed once and kept nowhere, and its line for admin.tokens is said beside it.
func runToken(_ context.Context, e env, args []string) int {
	var l tokenLine
	set := e.flags("token", tokenUsage)
	set.StringVar(&l.Role, "role", "", "what its holder may do: "+roleNames())
	set.StringVar(&l.Name, "name", "", "who holds it; changes are signed by it")
	set.StringVar(&l.Expires, "expires", "", "the last day it is in force, UTC; empty: for good")
	set.Func("service", "the service it is for, again for each; none: all", func(s string) error {
		l.Services = append(l.Services, s)
		return nil
	})
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() > 0 {
		return e.fail("token takes no argument %q\nusage: parallax %s", set.Arg(0), tokenUsage)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return e.fail("there is no randomness: %v", err)
	}
	token := "plx_" + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	l.SHA256 = hex.EncodeToString(hash[:])
	if faults, _, _ := l.read(); len(faults) > 0 {
		return e.fail("%s: %s; %s\nusage: parallax %s", faults[0].Path, faults[0].Text, faults[0].Hint, tokenUsage)
	}
	fmt.Fprintf(e.stderr, "The line for the file that admin.tokens names, under tokens:\n- %s\nThe token, which is kept nowhere:\n", l.text())
	fmt.Fprintln(e.stdout, token)
	return exitGood
}

// text is the line in YAML.
func (l tokenLine) text() string {
	text := fmt.Sprintf("{ name: %s, role: %s, sha256: %q", l.Name, l.Role, l.SHA256)
	if len(l.Services) > 0 {
		quoted := make([]string, len(l.Services))
		for i, s := range l.Services {
			quoted[i] = fmt.Sprintf("%q", s)
		}
		text += ", services: [" + strings.Join(quoted, ", ") + "]"
	}
	if l.Expires != "" {
		text += fmt.Sprintf(", expires: %q", l.Expires)
	}
	return text + " }"
}

// tokenVariable is where verbs that ask a server find their token. It is no flag, since what is on a command line is seen
// by all who use the machine.
const tokenVariable = "PARALLAX_TOKEN"

// tokenFlag is the flag --token-file of such a verb.
type tokenFlag struct{ file string }

func (f *tokenFlag) on(set *flag.FlagSet) {
	set.StringVar(&f.file, "token-file", "", "file with the token that the server asks for; empty: $"+tokenVariable+", if there is one")
}

// read returns the token, empty for none.
func (f *tokenFlag) read(getenv func(string) string) (string, error) {
	if f.file == "" {
		return strings.TrimSpace(getenv(tokenVariable)), nil
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, "\r\n \t") {
		return "", fmt.Errorf("there is no token in %s: it holds one, and nothing else", f.file)
	}
	return token, nil
}
