package egress

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"parallax"
)

// effect is what a call was, as the effect of an exchange. The columns are method; path
// and query of a call that is not a tunnel; body, or of one that is too long to be kept
// body_size and body_sha256; and status, where a shadow gets an answer to such a call.
func (c *call) effect(status int) parallax.Effect {
	e := parallax.Effect{Table: c.table, Op: parallax.Emit}
	add := func(name string, t parallax.ColumnType, value string) {
		e.After = append(e.After, parallax.Column{Name: name, Type: t, Value: &value})
	}
	add("method", parallax.TextColumn, c.method)
	if c.method != http.MethodConnect {
		add("path", parallax.TextColumn, c.url.EscapedPath())
		if c.url.RawQuery != "" {
			t, text := form(c.url.RawQuery)
			add("query", t, text)
		}
	}
	switch b := c.body.seen(); {
	case b.cut:
		add("body_size", parallax.NumberColumn, strconv.FormatInt(b.size, 10))
		add("body_sha256", parallax.TextColumn, hex.EncodeToString(b.sum))
	case b.size > 0:
		t, text := content(c.contentType, b.kept)
		add("body", t, text)
	}
	if c.answered && status > 0 {
		add("status", parallax.NumberColumn, strconv.Itoa(status))
	}
	return e
}

// content returns a body as the value of a column: a document where it is JSON or a
// form, else text, else bytes.
func content(contentType string, b []byte) (parallax.ColumnType, string) {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch media = strings.TrimSpace(media); {
	case !utf8.Valid(b) || strings.IndexByte(string(b), 0) >= 0:
		return parallax.BytesColumn, `\x` + hex.EncodeToString(b)
	case json.Valid(b) && (media == "" || strings.HasSuffix(media, "json") || b[0] == '{' || b[0] == '['):
		return parallax.JSONColumn, string(b)
	case media == "application/x-www-form-urlencoded":
		return form(string(b))
	}
	return parallax.TextColumn, string(b)
}

// form returns fields as a document: of a name that comes more than once a list.
func form(text string) (parallax.ColumnType, string) {
	values, err := url.ParseQuery(text)
	if err != nil || !utf8.ValidString(text) {
		return parallax.TextColumn, text
	}
	doc := make(map[string]any, len(values))
	for name, list := range values {
		if doc[name] = list; len(list) == 1 {
			doc[name] = list[0]
		}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return parallax.TextColumn, text
	}
	return parallax.JSONColumn, string(out)
}
