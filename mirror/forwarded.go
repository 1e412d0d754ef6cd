package mirror

import "strings"

// forwardedBy continues a Forwarded header of a caller's with who the caller is
// to us (RFC 7239). Callers who sent none get none: X-Forwarded-* says the same.
func forwardedBy(values []string, in *incoming) string {
	node := in.RemoteIP
	if node == "" { // that of a recording
		return strings.Join(values, ", ")
	}
	if strings.IndexByte(node, ':') >= 0 {
		node = `"[` + node + `]"`
	}
	element := "for=" + node + ";proto=" + in.scheme()
	if in.Host != "" && strings.IndexByte(in.Host, '"') < 0 {
		element += `;host="` + in.Host + `"`
	}
	return strings.Join(append(values, element), ", ")
}
