package reports

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"parallax/divergence"
)

// exportFormat is the version of the form that evidence is exported in.
const exportFormat = 1

// exportLine is one line of an export: its head, then each tick in the order they are
// folded in, then its end. One without an end was cut.
type exportLine struct {
	Head *exportHead     `json:"head,omitempty"`
	Tick json.RawMessage `json:"tick,omitempty"`
	End  *exportEnd      `json:"end,omitempty"`
}

// exportHead is what evidence begins with.
type exportHead struct {
	Format        int       `json:"format"`
	Service       string    `json:"service"`
	Policy        Promotion `json:"policy"` // in the form its version is computed from
	PolicyVersion string    `json:"policy_version"`
	From          time.Time `json:"from,omitzero"` // new evidence was started then
}

// exportEnd is what a verdict depends on besides policy and ticks, and the verdict.
type exportEnd struct {
	Folded

	AsOf    time.Time         `json:"as_of"`
	Context json.RawMessage   `json:"context"`
	Rules   map[string]string `json:"rules"` // hash of the rules in force, by endpoint

	// InForce says that the verdict in force at that time was folded from the same
	// ticks in the same order. It may not be where some came more than a minute late.
	InForce bool            `json:"in_force"`
	Verdict json.RawMessage `json:"verdict"`
}

// tagged returns a struct type with the fields of another one, but for functions: each under its name in snake case, left out while it
// is zero. So what a release adds to a tick or a context is exported with it.
func tagged(t reflect.Type) reflect.Type {
	var fields []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() == reflect.Func {
			continue
		}
		f.Tag, f.Offset, f.Index = reflect.StructTag(`json:"`+snake(f.Name)+`,omitzero"`), 0, nil
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

// snake writes RulesHash as rules_hash.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

var (
	tickForm    = tagged(reflect.TypeFor[divergence.Tick]())
	contextForm = tagged(reflect.TypeFor[Context]())
)

// tickKeys are the keys of the fields of a tick.
var tickKeys = func() (out []string) {
	for i := range tickForm.NumField() {
		out = append(out, `"`+snake(tickForm.Field(i).Name)+`":`)
	}
	return out
}()

// tickLine returns a tick as an export has it: what JSON of tickForm is, written by hand
// since every tick that is folded is; see BenchmarkEvidence.
func tickLine(t divergence.Tick) []byte {
	line, v := append(make([]byte, 0, 512), `{"tick":{`...), reflect.ValueOf(&t).Elem()
	for i, key := range tickKeys {
		if f := v.Field(i); !f.IsZero() {
			line = append(appendJSON(append(line, key...), f), ',')
		}
	}
	return append(bytes.TrimSuffix(line, []byte(",")), "}}\n"...)
}

func appendJSON(line []byte, f reflect.Value) []byte {
	switch v := f.Addr().Interface().(type) {
	case *uint64:
		return strconv.AppendUint(line, *v, 10)
	case *string: // Fast path: nothing to escape
		if plainJSON(*v) {
			return append(append(append(line, '"'), *v...), '"')
		}
	case *time.Time:
		if y := v.Year(); 0 < y && y <= 9999 {
			return append(v.UTC().AppendFormat(append(line, '"'), time.RFC3339Nano), '"')
		}
	}
	text, err := json.Marshal(f.Interface())
	if err != nil { // a year that no store holds
		return append(line, "null"...)
	}
	return append(line, text...)
}

// plainJSON says that a text stands in JSON as it is.
func plainJSON(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b < ' ' || b > '~', b == '"', b == '\\', b == '<', b == '>', b == '&':
			return false
		}
	}
	return true
}

func readTick(text []byte) (divergence.Tick, error) {
	into := reflect.New(tickForm)
	if err := strictly(text, into.Interface()); err != nil {
		return divergence.Tick{}, err
	}
	return into.Elem().Convert(reflect.TypeFor[divergence.Tick]()).Interface().(divergence.Tick), nil
}

func writeContext(in Context) (json.RawMessage, error) {
	out, from := reflect.New(contextForm).Elem(), reflect.ValueOf(in)
	for i := range contextForm.NumField() {
		out.Field(i).Set(from.FieldByName(contextForm.Field(i).Name))
	}
	return json.Marshal(out.Interface())
}

func readContext(text []byte) (in Context, err error) {
	from := reflect.New(contextForm)
	if err := strictly(text, from.Interface()); err != nil {
		return in, err
	}
	out := reflect.ValueOf(&in).Elem()
	for i := range contextForm.NumField() {
		out.FieldByName(contextForm.Field(i).Name).Set(from.Elem().Field(i))
	}
	return in, nil
}

// basis is what the latest verdict of a judge was made from, but for the ticks.
type basis struct {
	policy  Promotion
	from    time.Time
	context Context
	verdict Verdict
	folded  Folded
	late    []lateTick
}

// remembering returns a context whose rules are asked for once. When the verdict is
// made, known returns the context as it was then: its answers do not change any more.
func remembering(in Context) (_ Context, known func() Context) {
	answers, ask, plain := map[string]string{}, in.RulesHash, in
	if ask == nil {
		return in, func() Context { return plain }
	}
	in.RulesHash = func(endpoint string) string {
		hash, ok := answers[endpoint]
		if !ok {
			hash = ask(endpoint)
			answers[endpoint] = hash
		}
		return hash
	}
	return in, func() Context {
		plain.RulesHash = func(endpoint string) string {
			if hash, ok := answers[endpoint]; ok {
				return hash
			}
			return ask(endpoint)
		}
		return plain
	}
}

// maxLate bounds how many late ticks are remembered. After more of them an export is in
// another order than the verdict in force, and says so.
const maxLate = 100_000

// disorder remembers which ticks were late, so that an export has them in the order they
// were folded in.
type disorder struct {
	top  divergence.Cursor // the furthest place in the store's order that was folded
	late []lateTick        // in the order they were folded; only appended to
}

// lateTick is a tick that was folded after so many others, of which some come after it.
type lateTick struct {
	tickID
	after uint64
}

func (d *disorder) note(t divergence.Tick, folded uint64) {
	switch c := t.Cursor(); {
	case compareCursors(c, d.top) >= 0:
		d.top = c
	case len(d.late) < maxLate:
		d.late = append(d.late, lateTick{tickID{t.Instance, t.Seq}, folded})
	}
}

// compareCursors compares two places in the order of the store.
func compareCursors(a, b divergence.Cursor) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Seq, b.Seq))
}

// refold adds ticks that come in the order of the store in the order they were folded in
// before.
type refold struct {
	late    []lateTick              // those to come
	waiting map[tickID]*lateWaiting // late ones by what they are
	limit   uint64
	add     func(t divergence.Tick) error
	added   uint64
}

type lateWaiting struct {
	tick  divergence.Tick
	there bool
}

func newRefold(late []lateTick, limit uint64, add func(divergence.Tick) error) *refold {
	r := &refold{late: late, waiting: make(map[tickID]*lateWaiting, len(late)), limit: limit, add: add}
	for _, l := range late {
		r.waiting[l.tickID] = &lateWaiting{}
	}
	return r
}

// next takes the next tick of the store. Those that were folded after the limit are left
// out.
func (r *refold) next(t divergence.Tick) error {
	if w := r.waiting[tickID{t.Instance, t.Seq}]; w != nil {
		w.tick, w.there = t, true
		return r.settle()
	}
	if r.done() {
		return nil
	}
	r.added++
	return errors.Join(r.add(t), r.settle())
}

// settle adds the late ticks whose turn it is.
func (r *refold) settle() error {
	for !r.done() && len(r.late) > 0 && r.late[0].after == r.added {
		w := r.waiting[r.late[0].tickID]
		if !w.there {
			return nil // it is not in the store any more, so the digest tells
		}
		r.added, r.late = r.added+1, r.late[1:]
		if err := r.add(w.tick); err != nil {
			return err
		}
	}
	return nil
}

func (r *refold) done() bool { return r.added >= r.limit }

// Export writes what the latest verdict was made from, as [Replay] reads it: JSON lines,
// each tick as it is read from the store, a page at a time. It takes as long as w does
// and holds up nobody. Without a verdict that has evidence it is an error that wraps
// [divergence.ErrAway], and nothing is written.
func (j *Judge) Export(ctx context.Context, w io.Writer) error {
	b := j.latest.Load().basis
	if b == nil || b.context.StoreAway {
		return fmt.Errorf("there is no verdict with evidence to export: %w", divergence.ErrAway)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	evidence := NewEvidenceFrom(b.policy, b.from)
	head := exportHead{exportFormat, j.cfg.Service, b.policy, evidence.hash, b.from}
	first := true
	order := newRefold(b.late, b.folded.Ticks, func(t divergence.Tick) error {
		line := tickLine(t)
		evidence.addLine(t, line)
		_, err := out.Write(line)
		return err
	})
	for after := evidence.cursor(); !order.done(); {
		ticks, err := j.cfg.Ticks.Ticks(ctx, j.cfg.Service, after, page)
		if err != nil {
			return fmt.Errorf("cannot read the evidence on %s: %w", j.cfg.Service, err)
		}
		if first {
			if first, err = false, writeLine(out, exportLine{Head: &head}); err != nil {
				return err
			}
		}
		for _, t := range ticks {
			after = t.Cursor()
			if err := order.next(t); err != nil {
				return err
			}
		}
		if len(ticks) == 0 {
			break
		}
	}
	if first {
		if err := writeLine(out, exportLine{Head: &head}); err != nil {
			return err
		}
	}
	end, err := b.end(evidence)
	if err != nil {
		return err
	}
	return errors.Join(writeLine(out, exportLine{End: &end}), out.Flush())
}

// end is the end of an export of evidence.
func (b *basis) end(evidence *Evidence) (exportEnd, error) {
	in, rules := b.context, map[string]string{}
	if ask := in.RulesHash; ask != nil {
		in.RulesHash = func(endpoint string) string {
			rules[endpoint] = ask(endpoint)
			return rules[endpoint]
		}
	}
	end := exportEnd{Folded: evidence.Folded(), AsOf: b.verdict.AsOf, Rules: rules}
	end.InForce = end.Folded == b.folded
	v := evidence.Verdict(end.AsOf, in)
	v.Chain = b.verdict.Chain
	var err, wrong error
	end.Context, err = writeContext(in)
	end.Verdict, wrong = json.Marshal(v)
	return end, errors.Join(err, wrong)
}

func writeLine(w io.Writer, line exportLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Bounds of an export that is read.
const (
	maxExportLine = 64 << 20 // bytes; what people said of issues is one line
	maxCount      = 1 << 40  // of one tick; more would be a billion exchanges a second
	maxExported   = 1 << 23  // ticks with so large counts: sums stay far below 2^64
)

// Replayed is what an export comes to.
type Replayed struct {
	Verdict Verdict
	Folded  Folded

	// Counted is what the evidence holds of each endpoint seen lately, since it began
	// anew last. Times, statuses and reasons are in the store only.
	Counted divergence.Summary

	// InForce says that the verdict in force at that time was made from the same
	// ticks in the same order.
	InForce bool
}

// Replay reads what [Judge.Export] writes, folds it, and returns the verdict. It reads
// strictly: an error says which line and field are wrong, that the file was cut, or
// that it says another verdict than its evidence comes to.
func Replay(r io.Reader) (Replayed, error) {
	p := replay{lines: bufio.NewReaderSize(r, 64<<10)}
	for p.end == nil {
		text, err := p.line()
		switch {
		case errors.Is(err, io.EOF):
			return Replayed{}, fmt.Errorf("the file ends after line %d without the line that ends it: it was cut", p.read)
		case err == nil:
			err = p.take(text)
		}
		if err != nil {
			return Replayed{}, fmt.Errorf("line %d: %w", p.read, err)
		}
	}
	if _, err := p.lines.ReadByte(); !errors.Is(err, io.EOF) {
		return Replayed{}, fmt.Errorf("line %d: there is more behind the end", p.read+1)
	}
	out, err := p.verdict()
	if err != nil {
		return Replayed{}, fmt.Errorf("line %d: end.%w", p.read, err)
	}
	return out, nil
}

// replay is an export that is being read.
type replay struct {
	lines    *bufio.Reader
	read     int // lines
	head     *exportHead
	evidence *Evidence
	end      *exportEnd
}

// line returns the next line, which must be whole.
func (p *replay) line() ([]byte, error) {
	var out []byte
	p.read++
	for {
		part, err := p.lines.ReadSlice('\n')
		out = append(out, part...)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, io.EOF) && len(out) == 0:
			p.read--
			return nil, err
		case errors.Is(err, io.EOF):
			return nil, errors.New("it was cut")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(out) > maxExportLine:
			return nil, fmt.Errorf("it is longer than %d bytes", maxExportLine)
		}
	}
}

// take reads a line.
func (p *replay) take(text []byte) error {
	var line exportLine
	if err := strictly(text, &line); err != nil {
		return err
	}
	switch {
	case p.read == 1 && line.Head != nil && line.Tick == nil && line.End == nil:
		return p.begin(line.Head)
	case p.read == 1:
		return errors.New("want the head of exported evidence, as parallax verdict --export writes it")
	case line.Tick != nil && line.Head == nil && line.End == nil:
		return p.add(line.Tick, text)
	case line.End != nil && line.Head == nil && line.Tick == nil:
		p.end = line.End
		return nil
	}
	return errors.New("want a tick or the end")
}

func (p *replay) begin(h *exportHead) error {
	if h.Format != exportFormat {
		return fmt.Errorf("head.format: this release reads %d, found %d: use the release that wrote the file", exportFormat, h.Format)
	}
	for _, f := range h.Policy.Validate() {
		return fmt.Errorf("head.policy: %s: %s", f.Path, f.Text)
	}
	if version := h.Policy.Hash(); version != h.PolicyVersion {
		return fmt.Errorf("head.policy_version: want %s, which the policy comes to, found %.40q", version, h.PolicyVersion)
	}
	p.head, p.evidence = h, NewEvidenceFrom(h.Policy, h.From)
	return nil
}

func (p *replay) add(text, line []byte) error {
	t, err := readTick(text)
	if err != nil {
		return under("tick", err)
	}
	if t.Service != p.head.Service {
		return fmt.Errorf("tick.service: want %q, found %.100q", p.head.Service, t.Service)
	}
	if p.evidence.folded >= maxExported {
		return fmt.Errorf("more than %d ticks", maxExported)
	}
	counts := reflect.ValueOf(t)
	for i := range counts.NumField() {
		name := counts.Type().Field(i).Name
		if f := counts.Field(i); name != "Seq" && f.Kind() == reflect.Uint64 && f.Uint() > maxCount {
			return fmt.Errorf("tick.%s: want at most %d, found %d", snake(name), uint64(maxCount), f.Uint())
		}
	}
	p.evidence.addLine(t, line)
	return nil
}

// verdict folds what was read into the verdict and holds it against the one that the
// file says. An error begins with a field of the end.
func (p *replay) verdict() (Replayed, error) {
	end := p.end
	out := Replayed{Folded: p.evidence.Folded(), InForce: end.InForce}
	if out.Folded.Ticks != end.Ticks {
		return out, fmt.Errorf("ticks: the file has %d, and its end says %d: some are missing or too many", out.Folded.Ticks, end.Ticks)
	}
	if out.Folded.Digest != end.Digest {
		return out, fmt.Errorf("digest: that of the ticks is %s: one of them was changed, or they are in another order", out.Folded.Digest)
	}
	in, err := readContext(end.Context)
	if err != nil {
		return out, under("context", err)
	}
	in.RulesHash = func(endpoint string) string { return end.Rules[endpoint] }
	if len(end.Rules) == 0 {
		in.RulesHash = nil
	}
	var said struct {
		Chain string `json:"chain"`
	}
	if err := json.Unmarshal(end.Verdict, &said); err != nil {
		return out, under("verdict", errors.New(plainFault(err)))
	}
	out.Verdict = p.evidence.Verdict(end.AsOf, in)
	out.Verdict.Chain = said.Chain
	out.Counted = p.evidence.counted(end.AsOf, in)
	text, err := json.Marshal(out.Verdict)
	if err != nil {
		return out, under("verdict", err)
	}
	if field := differs(end.Verdict, text); field != "" {
		return out, fmt.Errorf("verdict.%s: the evidence in the file comes to another one: it was changed, or another release of Parallax wrote it", field)
	}
	return out, nil
}

// counted returns the evidence as a report's figures.
func (e *Evidence) counted(now time.Time, in Context) divergence.Summary {
	out := divergence.Summary{Accounting: in.Accounting}
	for _, p := range e.current(now, in) {
		s := p.sums
		out.Endpoints = append(out.Endpoints, divergence.EndpointStats{
			Endpoint: p.name, Received: int64(s.received), Compared: int64(s.n + s.notComparable), Matched: int64(s.n - s.k), Diverged: int64(s.k),
			NotComparable: int64(s.notComparable), Noise: int64(s.noise), Lost: int64(s.lost),
		})
	}
	return out
}

// differs returns the first field in which two documents differ, empty when they are
// the same, byte by byte.
func differs(a, b []byte) string {
	if bytes.Equal(a, b) {
		return ""
	}
	var left, right map[string]json.RawMessage
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		return "verdict"
	}
	t := reflect.TypeFor[Verdict]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if !bytes.Equal(left[name], right[name]) {
			return name
		}
	}
	return "verdict"
}

// strictly reads one document with known fields only. An error names the field.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(plainFault(err))
	}
	if d.More() {
		return errors.New("there is more behind the document")
	}
	return nil
}

// plainFault says what is wrong with a document, its field first.
func plainFault(err error) string {
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Sprintf("%s: cannot be a %s", kind.Field, kind.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func under(field string, err error) error { return fmt.Errorf("%s.%w", field, err) }
