package ui

import (
	"slices"
	"strings"
	"unicode"

	"parallax"
)

// notForCurl are headers that curl makes itself, or that are about the connection or about a
// content coding that was taken off.
var notForCurl = []string{"host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "accept-encoding", "content-encoding", "expect"}

// curl is the command that sends a request again, as it is stored: what was redacted is redacted.
// Whatever a caller wrote stays within its quotes. A body that is not text is left out.
func curl(r *parallax.Request, body []byte) string {
	lines := []string{"curl -g -sS -i " + shellWord("http://"+r.Host+r.Target)} // -g: brackets and braces mean nothing
	switch r.Method {
	case "GET":
	case "HEAD":
		lines[0] = "curl -g -sS -I " + shellWord("http://"+r.Host+r.Target)
	default:
		lines[0] += " -X " + shellWord(r.Method)
	}
	for _, f := range r.Headers {
		if slices.Contains(notForCurl, strings.ToLower(f.Name)) || strings.HasPrefix(f.Name, "@") || strings.HasPrefix(f.Name, ":") || strings.ContainsFunc(f.Name+f.Value, unicode.IsControl) {
			continue
		}
		header := f.Name + ": " + f.Value
		if f.Value == "" {
			header = f.Name + ";" // or curl would leave the header out
		}
		lines = append(lines, "-H "+shellWord(header))
	}
	if len(body) > 0 && isText(body) {
		if !slices.ContainsFunc(r.Headers, func(f parallax.Field) bool { return strings.EqualFold(f.Name, "Content-Type") }) {
			lines = append(lines, "-H 'Content-Type:'") // or curl would say that it is a form
		}
		lines = append(lines, "--data-raw "+shellWord(string(body)))
	}
	return strings.Join(lines, " \\\n  ")
}

// shellWord is a text that a shell takes as one word, whatever is in it.
func shellWord(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
