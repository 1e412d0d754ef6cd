package mirror

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// A safe method promises that nothing is changed, and not everybody keeps it: a
// link in a mail can only be a GET. Sent twice, such a request uses up a token,
// ends a session or deletes something. What looks like that is not mirrored until
// mirror.endpoints declares the endpoint.
//
// The catalogue below is closed and meant to be read: each line has its reason.
// It looks for verbs that stand alone as a segment of the path, whatever its
// case, dashes, underscores, extension and parameters, and for names in the
// query. A word inside a longer one is none: confirmation-dialog, deleted-items.
// Some verbs may lead a segment too: delete-item, removeUser. Besides, a header
// may ask for another method (asksForAnotherMethod).

// act is one line of the catalogue: segments that tell of an act.
type act struct {
	words string
	after surroundings // only behind a segment that means one of these; 0: anywhere
	where position
	leads bool // also as the first word of a segment
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
	{words: "unsubscribe", leads: true, why: "changes what somebody agreed to"},
	{words: "optout optin", why: "changes what somebody agreed to"},
	{words: "reset resetpassword passwordreset recover recovery forgotpassword", where: beforeValue, why: "uses up a one-time token"},
	{words: "join redeem", where: beforeValue, why: "uses up a one-time token"},
	{words: "login signin auth register signup session invite claim magic", where: beforeToken, why: "uses up a one-time token"},
	{words: "magiclink magiclogin onetimelogin onetimelink passwordless", why: "is a link that works once"},
	{words: "delete remove destroy purge erase revoke cancel deactivate disable", where: atEnd, leads: true, why: "takes something away"},
	{words: "deleteaccount closeaccount", why: "takes something away"},
	{words: "add clear empty", after: cart, where: atEnd, why: "changes a cart"},
	{words: "addtocart addtobasket", why: "changes a cart"},
	{words: "return success complete callback notify capture execute", after: payment, why: "completes a payment"},
	{words: "impersonate switchuser", why: "changes who a session belongs to"},
	{words: "upvote downvote", where: atEnd, why: "counts a vote"},
	{words: "reboot shutdown restart trigger", where: atEnd, why: "starts or stops something"},
	{words: "cron wpcron", why: "starts or stops something"},
	{words: "clearcache flushcache", where: atEnd, why: "takes something away"},
	{words: "resend", where: atEnd, why: "sends something once more"},
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
// rather than acts, and plainEndings the extensions of files. JSON and XML are
// none: servers take them for the form that an answer shall have.
var (
	plainPlaces  = wordSet("docs doc documentation help blog wiki faq static assets public img images css js fonts")
	plainEndings = wordSet("js mjs css map txt md pdf png jpg jpeg gif svg webp avif ico woff woff2 ttf mp4 webm wasm")
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
	why       string // what the path does; "" when it does not look like an act
	hidden    bool   // any segment of a path may be a word that the name does not show
	variables uint64 // the segments that the name does not show, a bit for each, the first is the lowest
}

// judge judges an endpoint by its name, once.
func judge(name string) *judgement {
	method, template, _ := strings.Cut(name, " ")
	if method != "GET" && method != "HEAD" {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(template, "/"), "/")
	j := &judgement{hidden: !strings.HasPrefix(template, "/") || hasVariable(first)}
	if !j.hidden { // else it may be one of plainPlaces
		j.why = actInPath(template)
	}
	for i, segment := range strings.Split(strings.TrimPrefix(template, "/"), "/") {
		if !hasVariable(segment) {
			continue
		}
		j.hidden = j.hidden || rest(segment) || i > 63
		j.variables |= 1 << min(i, 63)
	}
	return j
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
	if j.hidden || j.hides(path) {
		if why := actInPath(path); why != "" {
			return why
		}
	}
	if !found { // Fast path: most requests (BenchmarkJudgeRequest).
		return ""
	}
	return actInQuery(query)
}

// hides reports whether a variable of the name stands for anything but a number.
func (j *judgement) hides(path string) bool {
	for left := j.variables; left != 0 && path != ""; left >>= 1 {
		var segment string
		if segment, path = cutSegment(path); left&1 == 1 && !digits(segment) {
			return true
		}
	}
	return false
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
		plain, _, _ := strings.Cut(end[1:], ";")
		if plainEndings[strings.ToLower(plain)] {
			return ""
		}
		if p = p[:len(p)-len(end)]; verb(plain, "") != "" { // /api/orders.delete
			p += "/" + plain
		}
	}
	var before surroundings
	first := true
	for p != "" && p[0] == '/' {
		var segment string
		segment, p = cutSegment(p)
		segment, _, _ = strings.Cut(segment, ";") // /logout;jsessionid=17
		if segment == "" || segment == "." {
			continue
		}
		if i := strings.LastIndexByte(segment, ':'); i >= 0 {
			segment = segment[i+1:] // /orders/17:cancel
		}
		segment = unescaped(segment)
		var buf [maxWord + 1]byte
		word := plainWord(buf[:0], segment)
		if first && plainPlaces[string(word)] {
			return ""
		}
		first = false
		for _, a := range acts[string(word)] {
			if (a.after == 0 || a.after&before != 0) && a.where.fits(p) {
				return a.why
			}
		}
		if why := verb(segment, p); why != "" {
			return why
		}
		before |= surroundingWords[string(word)]
	}
	return ""
}

// maxJoints is how many dashes a segment that a verb leads has at most; one with
// more is the title of something.
const maxJoints = 2

// verb returns what a segment such as delete, delete-item or deleteItem looks as
// if it did by the verb that leads it; remains is what is behind it.
func verb(segment, remains string) string {
	end := 0
	for end < len(segment) && segment[end] >= 'a' && segment[end] <= 'z' || end == 0 && segment != "" {
		end++
	}
	if end < 6 || end > maxWord || count(segment).joints > maxJoints { // remove is the shortest
		return ""
	}
	var buf [maxWord + 1]byte
	for _, a := range acts[string(plainWord(buf[:0], segment[:end]))] {
		if a.leads && a.where.fits(remains) {
			return a.why
		}
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
	var code, state string
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		var buf [maxWord + 1]byte
		word := plainWord(buf[:0], innermost(unescaped(key)))
		if string(word) == "state" {
			state = value
		}
		why := queryCatalogue[string(word)]
		switch {
		case why == "":
			continue
		case string(word) == "code":
			code = value
			continue
		case !tells(string(word), value, why):
			continue
		}
		return why
	}
	if code != "" && state != "" && !(plainText(state) && plainText(code)) {
		return redeems
	}
	return ""
}

// innermost returns token of a key such as user[token].
func innermost(key string) string {
	if i := strings.LastIndexByte(key, '['); i >= 0 && i+2 < len(key) && key[len(key)-1] == ']' {
		return key[i+1 : len(key)-1]
	}
	before, _, _ := strings.Cut(key, "[")
	return before
}

// plainText reports whether a value is one that people choose, such as CA, open or
// a postal code: that of a sign-in is long, or has other characters.
func plainText(value string) bool {
	c := count(value)
	return len(value) < 12 && c.lower+c.upper+c.digits+c.joints == len(value) && (c.digits == 0 || c.lower == 0)
}

// tells reports whether a value makes its name tell of an act.
func tells(word, value, why string) bool {
	switch {
	case why == says:
		value = unescaped(value)
		var buf [maxWord + 1]byte
		return verb(value, "") != "" || slices.ContainsFunc(acts[string(plainWord(buf[:0], value))], func(a act) bool {
			return a.where != beforeToken // else it is a page, such as that of a sign-in
		})
	case word == "method":
		return unsafeMethod(value)
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

// asksForAnotherMethod reports whether a header asks the server to take the
// request for one with an unsafe method, which many frameworks do.
func asksForAnotherMethod(in *incoming) bool {
	for _, h := range in.Headers {
		switch len(h.Name) {
		case 13, 17, 22:
			if (strings.EqualFold(h.Name, "X-HTTP-Method") || strings.EqualFold(h.Name, "X-Method-Override") || strings.EqualFold(h.Name, "X-HTTP-Method-Override")) &&
				h.Value != in.Method && unsafeMethod(h.Value) {
				return true
			}
		}
	}
	return false
}

// maxTold bounds how many suspicious endpoints of a service the log names.
const maxTold = 50

// looksLikeAct reports whether the request looks like an act, and tells the log
// so once for each endpoint.
func (f *flight) looksLikeAct() bool {
	why := f.endpoint.act.of(f.in.Target)
	if why == "" && f.endpoint.safe && asksForAnotherMethod(f.in) {
		why = "asks for another method"
	}
	if why == "" {
		return false
	}
	if !f.endpoint.told.Load() && !f.endpoint.told.Swap(true) && f.service.told.Add(1) <= maxTold {
		f.m.deps.Log.Warn("not mirrored, because it looks like an act: declare in mirror.endpoints whether it is safe", "endpoint", f.endpoint.name, "why", why)
	}
	return true
}
