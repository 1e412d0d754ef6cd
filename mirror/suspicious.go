package mirror

import (
	"net/url"
	"path"
	"strings"
)

// A safe method promises that nothing is changed, and not everybody keeps it: a
// link in a mail can only be a GET. Sent twice, such a request uses up a token,
// ends a session or deletes something. What looks like that is not mirrored until
// mirror.endpoints declares the endpoint.
//
// The catalogue below is closed and meant to be read: each line has its reason.
// It looks for verbs that stand alone as a segment of the path, whatever its
// case, dashes, underscores and extension, and for names in the query. A word
// inside a longer one is none: confirmation-dialog, deleted-items.

// act is one line of the catalogue: segments that tell of an act.
type act struct {
	words string
	after surroundings // only behind a segment that means one of these; 0: anywhere
	where position
	why   string
}

// position says where in a path a word must stand.
type position uint8

const (
	anywhere    position = iota
	atEnd                // nothing but values behind it
	beforeValue          // a value right behind it
	beforeToken          // a value that is no plain id right behind it
)

// surroundings is a set of meanings of the segments in front of a word.
type surroundings uint8

const (
	signIn surroundings = 1 << iota
	payment
	cart
)

var surroundingWords = map[string]surroundings{
	"oauth": signIn, "oauth2": signIn, "oidc": signIn, "openid": signIn, "saml": signIn, "saml2": signIn, "sso": signIn, "auth": signIn,
	"login": signIn, "signin": signIn, "cas": signIn,
	"payment": payment, "payments": payment, "pay": payment, "checkout": payment, "paypal": payment, "stripe": payment, "klarna": payment, "adyen": payment, "mollie": payment,
	"cart": cart, "basket": cart, "wishlist": cart,
}

var catalogue = []act{
	{words: "logout logoff signout signoff endsession signoutoidc", why: "ends a session"},
	{words: "callback return acs", after: signIn, why: "redeems the one-time code of a sign-in"},
	{words: "signinoidc oauthcallback oauth2callback oidccallback ssocallback authcallback", why: "redeems the one-time code of a sign-in"},
	{words: "confirm verify activate reactivate confirmemail verifyemail activateaccount", why: "confirms something, which works once"},
	{words: "approve accept decline reject", where: atEnd, why: "answers a request for consent"},
	{words: "unsubscribe optout optin", why: "changes what somebody agreed to"},
	{words: "reset resetpassword passwordreset recover recovery forgotpassword", where: beforeValue, why: "uses up a one-time token"},
	{words: "invite join claim redeem", where: beforeValue, why: "uses up a one-time token"},
	{words: "login signin auth register signup session", where: beforeToken, why: "uses up a one-time token"},
	{words: "magic magiclink magiclogin onetimelogin onetimelink passwordless", why: "is a link that works once"},
	{words: "delete remove destroy purge erase revoke cancel deactivate disable", where: atEnd, why: "takes something away"},
	{words: "deleteaccount closeaccount", why: "takes something away"},
	{words: "add clear empty", after: cart, where: atEnd, why: "changes a cart"},
	{words: "addtocart addtobasket", why: "changes a cart"},
	{words: "return success complete callback notify capture execute", after: payment, why: "completes a payment"},
	{words: "impersonate switchuser", why: "changes who a session belongs to"},
	{words: "upvote downvote", where: atEnd, why: "counts a vote"},
	{words: "reboot shutdown restart trigger", where: atEnd, why: "starts or stops something"},
}

// queryCatalogue is what a name in the query tells of. The value matters for some
// of them: see actInQuery.
var queryCatalogue = map[string]string{
	"token": oneTime, "otp": oneTime, "onetimetoken": oneTime, "confirmationtoken": oneTime, "confirmtoken": oneTime, "resettoken": oneTime, "resetpasswordtoken": oneTime,
	"invitationtoken": oneTime, "invitetoken": oneTime, "activationtoken": oneTime, "activationkey": oneTime, "activationcode": oneTime,
	"verificationtoken": oneTime, "verificationcode": oneTime, "verifytoken": oneTime, "magictoken": oneTime, "logintoken": oneTime, "unlocktoken": oneTime,
	"unsubscribetoken": oneTime, "oobcode": oneTime, "wpnonce": oneTime, "ticket": oneTime,
	"oauthverifier": redeems, "samlresponse": redeems, "samlrequest": redeems, "code": redeems,
	"payerid": pays, "paymentintent": pays, "redirectstatus": pays,
	"logout": "ends a session", "unsubscribe": "changes what somebody agreed to", "confirm": "confirms something, which works once",
	"method": "asks for another method", "action": says, "do": says, "op": says, "cmd": says, "task": says,
}

const (
	oneTime = "carries a token that may work once"
	redeems = "redeems the one-time code of a sign-in"
	pays    = "completes a payment"
	says    = "names an act"
)

// plainPlaces are first segments of a path below which there are pages about acts
// rather than acts, and plainEndings the extensions of files.
var (
	plainPlaces  = wordSet("docs doc documentation help blog wiki faq static assets public img images css js fonts")
	plainEndings = wordSet("js mjs css map json xml txt md pdf png jpg jpeg gif svg webp avif ico woff woff2 ttf mp4 webm wasm")
	acts         = actsByWord()
)

func wordSet(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

func actsByWord() map[string][]act {
	out := map[string][]act{}
	for _, a := range catalogue {
		for _, w := range strings.Fields(a.words) {
			out[w] = append(out[w], a)
		}
	}
	return out
}

// judgement is what an endpoint's name tells about acts.
type judgement struct {
	why    string // what the path does; "" when it does not look like an act
	hidden bool   // the name does not show every word of the path, so that each request's is looked at
}

// judge judges an endpoint by its name, once.
func judge(name string) *judgement {
	method, template, _ := strings.Cut(name, " ")
	if method != "GET" && method != "HEAD" {
		return nil
	}
	return &judgement{why: actInPath(template), hidden: hidesWords(template)}
}

// hidesWords reports whether a template's variables may stand for words.
func hidesWords(template string) bool {
	if !strings.HasPrefix(template, "/") {
		return true // other
	}
	for segment := range strings.SplitSeq(template, "/") {
		if prefix, suffix, ok := variable(segment); ok && !plainID(segment[len(prefix):len(segment)-len(suffix)]) {
			return true
		}
	}
	return false
}

// plainID reports whether a variable is the id of something, so that no word can
// stand there.
func plainID(variable string) bool {
	switch variable {
	case "{uuid}", "{date}", "{hash}":
		return true
	}
	return !rest(variable) && strings.HasSuffix(strings.ToLower(variable), "id}")
}

// of returns why a request is not mirrored until its endpoint is declared, "" if
// it is.
func (j *judgement) of(target string) string {
	switch {
	case j == nil:
		return ""
	case j.why != "":
		return j.why
	}
	path, query, found := strings.Cut(target, "?")
	if j.hidden {
		if why := actInPath(path); why != "" {
			return why
		}
	}
	if !found { // Fast path: most requests (BenchmarkJudgeRequest).
		return ""
	}
	return actInQuery(query)
}

// maxWord bounds a word of the catalogue, in bytes; a longer segment is none.
const maxWord = 24

// plainWord appends a segment in the catalogue's spelling: lower case, without
// dashes and underscores. One that is too long or holds anything but letters and
// digits is no word.
func plainWord(dst []byte, segment string) []byte {
	for i := range len(segment) {
		c := segment[i]
		switch {
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			dst = append(dst, c)
		case c == '-', c == '_':
		default:
			return dst[:0]
		}
		if len(dst) > maxWord {
			return dst[:0]
		}
	}
	return dst
}

// actInPath returns what a path, or the template of one, looks as if it did; ""
// when it looks like nothing but reading.
func actInPath(p string) string {
	if end := path.Ext(p); end != "" && !strings.HasSuffix(end, "}") {
		if plainEndings[strings.ToLower(end[1:])] {
			return ""
		}
		p = strings.TrimSuffix(p, end)
	}
	var before surroundings
	first := true
	for p != "" && p[0] == '/' {
		var segment string
		segment, p = cutSegment(p)
		if segment == "" {
			continue
		}
		if i := strings.LastIndexByte(segment, ':'); i >= 0 {
			segment = segment[i+1:] // /orders/17:cancel
		}
		var buf [maxWord + 1]byte
		word := plainWord(buf[:0], unescaped(segment))
		if first && plainPlaces[string(word)] {
			return ""
		}
		first = false
		for _, a := range acts[string(word)] {
			if (a.after == 0 || a.after&before != 0) && a.where.fits(p) {
				return a.why
			}
		}
		before |= surroundingWords[string(word)]
	}
	return ""
}

func unescaped(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// fits reports whether a word may stand where remains is behind it.
func (w position) fits(remains string) bool {
	if w == anywhere {
		return true
	}
	if w == atEnd {
		for remains != "" {
			var segment string
			if segment, remains = cutSegment(remains); segment != "" && !isValue(segment) {
				return false
			}
		}
		return true
	}
	if remains == "" {
		return false
	}
	segment, _ := cutSegment(remains)
	return isValue(segment) && (w == beforeValue || !plainNumber(segment))
}

// isValue reports whether a segment is a variable or looks like a value.
func isValue(segment string) bool { return hasVariable(segment) || class(segment) != segment }

func hasVariable(segment string) bool {
	_, _, ok := variable(segment)
	return ok
}

// plainNumber reports whether a value names a thing rather than a secret.
func plainNumber(segment string) bool {
	if !hasVariable(segment) {
		segment = class(segment)
	}
	switch segment {
	case "{token}", "{hash}", "{uuid}", "{code}", "{key}", "{secret}", "{text}":
		return false
	}
	return true
}

// actInQuery returns what a raw query looks as if it did.
func actInQuery(query string) string {
	var code, state bool
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		var buf [maxWord + 1]byte
		word := plainWord(buf[:0], unescaped(key))
		if string(word) == "state" {
			state = true
		}
		why := queryCatalogue[string(word)]
		switch {
		case why == "":
			continue
		case string(word) == "code":
			code = true
			continue
		case !tells(string(word), value, why):
			continue
		}
		return why
	}
	if code && state {
		return redeems
	}
	return ""
}

// tells reports whether a value makes its name tell of an act.
func tells(word, value, why string) bool {
	switch {
	case why == says:
		var buf [maxWord + 1]byte
		return len(acts[string(plainWord(buf[:0], value))]) > 0
	case word == "method":
		return !strings.EqualFold(value, "GET") && unsafeMethod(value)
	case word == "ticket":
		return strings.HasPrefix(value, "ST-") // of the Central Authentication Service
	case word == "logout", word == "unsubscribe", word == "confirm":
		return value != "0" && value != "false" && value != "no"
	}
	return value != ""
}

func unsafeMethod(name string) bool {
	switch strings.ToUpper(name) {
	case "POST", "PUT", "PATCH", "DELETE":
		return true
	}
	return false
}

// maxTold bounds how many suspicious endpoints of a service the log names.
const maxTold = 50

// looksLikeAct reports whether the request looks like an act, and tells the log
// so once for each endpoint.
func (f *flight) looksLikeAct() bool {
	why := f.endpoint.act.of(f.in.Target)
	if why == "" {
		return false
	}
	if !f.endpoint.told.Load() && !f.endpoint.told.Swap(true) && f.service.told.Add(1) <= maxTold {
		f.m.deps.Log.Warn("not mirrored, because it looks like an act: declare in mirror.endpoints whether it is safe", "endpoint", f.endpoint.name, "why", why)
	}
	return true
}
