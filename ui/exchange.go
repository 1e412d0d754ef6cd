package ui

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
)

// Bounds of what the page of an exchange shows.
const (
	maxShown     = 256 << 10 // bytes of a body
	maxShownRows = 3000      // lines of a side-by-side view
	around       = 3         // equal lines kept around each change
)

// exchangeView is one exchange, the primary's answer beside another leg's.
type exchangeView struct {
	Service     string
	Detail      divergence.ExchangeDetail
	Class       string
	EndpointURL string
	Title       string
	Legs        []legRow
	Counting    []divergence.DifferenceLine
	Suppressed  []divergence.DifferenceLine
	Against     string // the leg beside the primary
	Sides       []link // the legs that can stand there
	Body        bodyView
	Headers     []headerRow
	Request     *requestView
	Effects     []effectPair
	MoreEffects int // changes of these two legs that are not shown
	Kept        bool
}

// legRow is how one leg did.
type legRow struct {
	divergence.LegLine
	Live                bool
	Start, First, Done  float64 // seconds since the request came in
	Sized               bool
	Size                int64
	Hash                string
	ErrorText, Versions string
}

// bodyView is two bodies side by side, or why they are not shown.
type bodyView struct {
	Rows        []viewRow
	Unified     []unifiedLine // the same in one column, where that is asked for
	Layouts     []link
	Same        bool
	Note        string // how they were laid out, or why they are not
	Cut         string // which of them is shown in part
	Whole, Fold string // the address of the view with all lines; and back
	Clipped     bool   // more rows than are shown
}

// viewRow is a row with what changed within its lines.
type viewRow struct {
	row
	L, R parts
}

// parts is a line split at what changed in it.
type parts struct{ Before, Changed, After string }

// headerRow is a header of both answers.
type headerRow struct {
	Name, Left, Right string
	Differs           bool
}

// requestView is the request as the primary got it.
type requestView struct {
	Line    string
	Host    string
	Headers []parallax.Field
	Body    string
	Note    string
	Curl    string // the command that sends it again
}

func (s *Server) pageExchange(c echo.Context) error {
	q := query{values: c.QueryParams()}
	against, whole, layout := q.text("against"), q.flag("whole"), q.text("layout")
	if layout != "" && layout != unifiedLayout {
		q.fault("layout", "want %s, found %.40q", unifiedLayout, layout)
	}
	if against != "" && against != "candidate" && against != "secondary" {
		q.fault("against", "want candidate or secondary, found %.40q", against)
	}
	if err := q.err("against", "whole", "layout"); err != nil {
		return err
	}
	service, detail, err := s.exchange(c)
	if err != nil {
		return err
	}
	here := c.Request().URL.String()
	view := newExchangeView(service, detail, s.cfg.Decode, against, whole, here)
	view.Body.lay(layout, here)
	return s.render(c, http.StatusOK, "exchange", view.Title, service.Name, []link{
		{Text: service.Name, URL: servicePath(service.Name)},
		{Text: cut(detail.Endpoint, 60), URL: view.EndpointURL},
		{Text: "Exchange", Current: true},
	}, view)
}

func newExchangeView(service *Service, d divergence.ExchangeDetail, decode decoder, against string, whole bool, here string) exchangeView {
	view := exchangeView{
		Service: service.Name, Detail: d, Class: outcomeClass(d.Outcome), Title: d.Endpoint,
		EndpointURL: endpointPath(service.Name, d.Endpoint), Against: "candidate", Kept: d.Exchange != nil,
	}
	for _, line := range d.Differences {
		if line.By == "" {
			view.Counting = append(view.Counting, line)
		} else {
			view.Suppressed = append(view.Suppressed, line)
		}
	}
	if against == "secondary" && slices.ContainsFunc(d.Legs, func(l divergence.LegLine) bool { return l.Leg == against }) {
		view.Against = against
	}
	var tables *compare.EffectTables
	if service.EffectTables != nil {
		tables = service.EffectTables()
	}
	shown, more := firstEffects(d.Effects, view.Against)
	view.Effects, view.MoreEffects = effectPairs(shown, d.Identifiers, tables, view.Against), more
	for _, leg := range d.Legs {
		view.Legs = append(view.Legs, newLegRow(leg, d))
	}
	if !view.Kept {
		return view
	}
	left, right := d.Exchange.Legs[parallax.Primary], d.Exchange.Legs[parallax.Candidate]
	if second := d.Exchange.Legs[parallax.Secondary]; second != nil {
		if view.Against == "secondary" {
			right = second
		}
		for _, name := range []string{"candidate", "secondary"} {
			view.Sides = append(view.Sides, link{Text: name, URL: with(here, "against", name), Current: name == view.Against})
		}
	}
	if left != nil {
		view.Title = left.Request.Method + " " + left.Request.Target
		view.Request = decode.newRequestView(&left.Request)
	}
	if left != nil && right != nil {
		view.Body = decode.newBodyView(&left.Response, &right.Response, whole, here)
		view.Headers = headerRows(left.Response.Headers, right.Response.Headers)
	}
	return view
}

func newLegRow(line divergence.LegLine, d divergence.ExchangeDetail) legRow {
	r := legRow{LegLine: line, Live: line.Leg == d.Live}
	if d.Exchange == nil {
		return r
	}
	for leg, call := range d.Exchange.Legs {
		if call == nil || parallax.Leg(leg).String() != line.Leg {
			continue
		}
		r.Start, r.First, r.Done = call.Start.Seconds(), call.First.Seconds(), call.Done.Seconds()
		r.Sized, r.Size, r.Hash = true, call.Response.Body.Size, hex.EncodeToString(call.Response.Body.SHA256[:])
		r.ErrorText = call.Err.Text
	}
	return r
}

// newBodyView lays both bodies out as JSON if both are, as text if both are, and
// else tells them by size and hash.
func (d decoder) newBodyView(left, right *parallax.Response, whole bool, here string) bodyView {
	if left.Body.Size == right.Body.Size && left.Body.SHA256 == right.Body.SHA256 {
		if left.Body.Size == 0 {
			return bodyView{Same: true, Note: "Both answers are without a body."}
		}
	}
	a, b := d.shown(left.Headers, &left.Body), d.shown(right.Headers, &right.Body)
	note := "Shown as text, line by line."
	textA, textB := string(a), string(b)
	prettyA, okA := prettyJSON(a)
	prettyB, okB := prettyJSON(b)
	switch {
	case okA && okB || okA && len(b) == 0 || okB && len(a) == 0:
		textA, textB = prettyA, prettyB
		note = "Laid out a value a line, with keys in alphabetical order. Lines are marked where they differ as text; the tables above say what counts."
	case !isText(a) || !isText(b):
		return bodyView{Note: "At least one body is not text. They are told apart by size and hash, in the table of the legs."}
	}
	rows := sideBySide(textA, textB)
	view := bodyView{Note: note, Cut: cutNote(left, right), Same: !slices.ContainsFunc(rows, func(r row) bool { return r.Mark != same })}
	if whole {
		view.Fold = with(here, "whole", "") + "#body"
	} else if short := folded(rows, around); len(short) < len(rows) {
		rows, view.Whole = short, with(here, "whole", "true")+"#body"
	}
	if len(rows) > maxShownRows {
		rows, view.Clipped = rows[:maxShownRows], true
	}
	for _, r := range rows {
		view.Rows = append(view.Rows, newViewRow(r))
	}
	return view
}

// decoder is Config.Decode.
type decoder func(encoding string, body []byte) ([]byte, error)

// shown is what a page shows of a body: without its content codings if they can
// be taken off, and cut.
func (d decoder) shown(headers []parallax.Field, b *parallax.Body) []byte {
	body := b.Bytes
	for _, f := range headers {
		if d == nil || !strings.EqualFold(f.Name, "Content-Encoding") {
			continue
		}
		if plain, err := d(f.Value, body); err == nil {
			body = plain
		}
		break
	}
	return body[:min(len(body), maxShown)]
}

func cutNote(left, right *parallax.Response) string {
	var names []string
	for _, side := range []struct {
		name string
		body *parallax.Body
	}{{"the left", &left.Body}, {"the right", &right.Body}} {
		if side.body.Cut || len(side.body.Bytes) > maxShown {
			names = append(names, side.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "Of " + strings.Join(names, " and ") + " body only the beginning is shown."
}

// isText tells whether people can read data: UTF-8 without control characters.
// It may end within a character, where it was cut.
func isText(data []byte) bool {
	whole := data
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if tail := data[len(data)-i:]; utf8.RuneStart(tail[0]) && !utf8.FullRune(tail) {
			whole = data[:len(data)-i]
		}
	}
	return utf8.Valid(whole) && bytes.IndexFunc(whole, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }) < 0
}

// newViewRow marks what changed within a changed line: all between the longest
// common beginning and end.
func newViewRow(r row) viewRow {
	v := viewRow{row: r, L: parts{Before: r.Left}, R: parts{Before: r.Right}}
	if r.Mark != changed {
		return v
	}
	a, b := []rune(r.Left), []rune(r.Right)
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	split := func(line []rune) parts {
		return parts{string(line[:head]), string(line[head : len(line)-tail]), string(line[len(line)-tail:])}
	}
	v.L, v.R = split(a), split(b)
	return v
}

// headerRows puts the headers of both answers side by side, repeats joined by
// lines, those that differ first.
func headerRows(left, right []parallax.Field) []headerRow {
	var names []string
	values := [2]map[string]string{{}, {}}
	for side, fields := range [][]parallax.Field{left, right} {
		for _, f := range fields {
			name := strings.ToLower(f.Name)
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			if old, ok := values[side][name]; ok {
				values[side][name] = old + "\n" + f.Value
			} else {
				values[side][name] = f.Value
			}
		}
	}
	slices.Sort(names)
	var differing, equal []headerRow
	for _, name := range names {
		l, inLeft := values[0][name]
		r, inRight := values[1][name]
		row := headerRow{Name: name, Left: l, Right: r, Differs: l != r || inLeft != inRight}
		if row.Differs {
			differing = append(differing, row)
		} else {
			equal = append(equal, row)
		}
	}
	return append(differing, equal...)
}

func (d decoder) newRequestView(r *parallax.Request) *requestView {
	v := &requestView{Line: strings.TrimSpace(r.Method + " " + r.Target + " " + r.Proto), Host: r.Host, Headers: r.Headers}
	body := d.shown(r.Headers, &r.Body)
	v.Curl = curl(r, body)
	switch pretty, ok := prettyJSON(body); {
	case r.Body.Size == 0:
		v.Note = "It has no body."
	case ok:
		v.Body = pretty
	case isText(body):
		v.Body = string(body)
	default:
		v.Note = fmt.Sprintf("Its body is not text: %s, SHA-256 %x.", size(r.Body.Size), r.Body.SHA256)
	}
	return v
}
