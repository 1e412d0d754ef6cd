// Package compare decides what differs between two answers to one request, and
// which of the differences count.
//
// [Compare] takes an exchange and returns a [Comparison]; it is a function of its
// arguments and nothing else. It has no clock (a rule expires by the time the
// exchange was received), no randomness and no I/O, so that the same exchange
// under the same rules always comes to the same result, in any process.
//
// # What is compared
//
// Status, headers, cookies, bodies and trailers, in this order, always all of
// them. Headers are compared by name, whatever their case and order; those that
// say something about the moment or the machine ([Volatile]), or name a leg's version
// ([Rules.WithVersionHeaders]), are left out unless a rule asks for them. Content
// codings are taken off before bodies are looked at, so that gzip on one side only is
// no difference. Then
//
//   - JSON is walked as two trees. Members are found by name, in any order; those
//     of one name are told apart ($.a, $.a#2). Numbers are equal when their exact
//     decimal values are: 1 = 1.0, and 9007199254740993 is not ...992. Missing,
//     null and empty are three things. Arrays are aligned by a longest common
//     subsequence, so that one insertion is one difference; as a set by rule.
//   - NDJSON is an array of its lines; server-sent events are an array of objects
//     with event, id, retry and data, read as JSON where it is an object or array.
//   - XML, forms and parts are trees too ([body.ParseXML], [body.ParseForm],
//     [body.ParseMultipart]): objects in which every name has an array, which paths
//     need not mention: $.order.item.price is the price of each item. Attributes are
//     @name, text beside elements #text, namespaces @xmlns. Fields of forms, parts and
//     attributes stand in any order; elements with different names do not: where names
//     take turns or text stands behind elements, the member #order tells it. Blanks
//     between elements, prefixes, comments and boundaries say nothing.
//   - GraphQL is JSON in which errors stand in no order ($.errors as a multiset, also
//     in each answer of a batch) unless a rule says otherwise. Which answers are
//     GraphQL's follows from their media type, or from the operation in the endpoint's
//     name. Errors on one side only have a class of their own, "GraphQL errors
//     appeared"; they are a divergence, not a failure of the leg.
//   - gRPC and protobuf are trees where descriptors say what the message is
//     ([ProtobufConfig], [body.ParseProtobuf]): $.items[0].price, named as in the .proto
//     file, with fields nobody knows under $['#7']. The answer of a method that streams
//     is an array of messages. Without descriptors the messages of gRPC are an array of
//     lengths and hashes, and protobuf is bytes. Compression on one side says nothing.
//     The status of gRPC is compared as the trailer it is; no status makes a leg failed.
//   - Text, HTML too, is compared by lines, aligned likewise.
//   - Other bytes are compared by length and hash.
//
// How a body is read follows from its Content-Type ([FormatOf]), never from a look
// at it, unless a rule with path body and decode says otherwise: decode: json reads
// bodies as JSON whatever they say they are, decode: sniff looks whether what is said
// to be text or bytes begins like JSON or XML. Charsets are taken off first: one text in two charsets is one text.
//
// What clients stumble over differs all the same: a byte order mark before JSON, one
// of UTF-16 that no charset announces, blanks before the declaration of XML, and a
// content coding that the request's Accept-Encoding does not take while it takes the
// primary's. Of a cookie's Expires it counts whether it keeps the cookie or ends it.
//
// What only one side can be decoded as is a difference of kind undecoded; what
// neither can is bytes. A body of which only the beginning was kept makes the
// exchange not comparable, unless hashes, sizes or the rest of the answer decide:
// of two texts or other bytes without a content coding they do, of JSON only
// against a complete body that is far shorter. What is kept of coded bytes decides
// nothing.
//
// # Identifiers
//
// Values that each leg makes up by itself are compared by what they stand for
// ([Identifiers], package ids): before two answers are compared, each value of the
// candidate and the secondary at a place of an identifier is replaced by the primary's
// partner, and each leg's own origin by the primary's. So another name for the same
// thing is no difference, and the wrong thing is one, of class identifier, wherever it
// stands. A value without a partner stays as it is, unless the primary calls
// something else by it. Two different values that both have none make the exchange
// not comparable, and so does, whatever was answered, a shadow request that named one
// ([ReasonUnmapped]). A partner of another type is a difference. In bodies the values
// are found in JSON and forms; of XML, NDJSON, events and parts none is translated, so
// that one there which both legs made up makes the exchange not comparable; so does an
// answer with more than 10 000 values, unless something else differs. Rules with
// class and regex are asked about the candidate's own value.
//
// # What counts
//
// A difference does not count when a rule takes it away (see below), or when it is
// noise: when
// primary and secondary, two instances of one version, differ there in the same
// way ([NoiseModel]). It stays in the comparison with the reason; see
// [Suppression]. Differences that do not count are looked through without end, so
// that they never hide one that does.
//
// Noise is judged as closely as the exchange allows: at the very element, line
// and word, and only for a value of like shape. What is left is this. At a place
// where the secondary always differs, a wrong value of the same shape cannot be
// told from noise: another random number of like magnitude, another UUID, other
// words where primary and secondary have other words; nor a candidate that always
// answers one of the values that the others take by chance. Nor can an extra element of
// an array that the secondary has extra too. A place that is noise as a rule is
// excused by the past while the secondary is away or agrees by chance, until the
// candidate has differed alone too often; but while the secondary is away, lines of
// a text and elements of an array that are usually noise make the exchange not
// comparable. So a service whose answers are mostly noise is mostly unchecked:
// reports show the share, and rules that name the random fields are the better
// way.
//
// A difference that would count does not while a person accepts its issue, or
// declares it noise: [Acceptances].
//
// No rule, no noise and no person excuses a candidate that gave no complete answer where the
// primary did. A primary that failed makes the exchange not comparable.
//
// # Rules
//
// A rule names a place and says what differences there mean. What it takes away
// stays in the comparison and names the rule. Paths are those of RFC 9535 with
// names, indices, slices, wildcards, descendants and filters; a filter compares
// what single places or literals stand for, or asks whether there is something, with
// &&, ||, ! and parentheses, and has no functions. It looks at the primary's
// document, and at the candidate's where only the candidate has the place. Past
// 4 096 looks and 16 for each value of a document it selects nothing; where a rule
// behind a filter asks something of equal values, that is never a match.
//
// ignore takes away every difference at the place and below it:
//
//	{ path: $..updated_at, ignore: true }
//
// tolerance lets two numbers differ by abs, or by rel times the larger one; also
// two texts that are numbers. The arithmetic is exact:
//
//	{ path: "$.items[*].price", tolerance: { abs: 0.01 } }
//
// number: text makes the spelling of numbers count, so that 1.0 is not 1:
//
//	{ path: $.price, number: text }
//
// time lets two times lie apart; with near both must also lie within the window of
// when the request came. See [Time] for the ways to write a time:
//
//	{ path: $.created_at, time: { within: 5s } }
//	{ path: $.now, time: { within: 2s, near: request, as: [unix_ms] } }
//
// class and regex say what both values are, and that it does not count which. An
// expression matches the whole value. Where only one side is so, that counts
// whatever noise says, and so does (as kind unfit) a value that both sides have and
// that is not so. Of a text only lines that differ are asked. See [ClassNames]:
//
//	{ path: $.id, class: uuid }
//	{ path: header:X-Trace, regex: "[0-9a-f]{16}" }
//
// enum gives the candidate's words for the primary's, by their text, whatever
// their types; in this direction only:
//
//	{ path: $.state, enum: { ACTIVE: active, "2": closed } }
//
// null says what null is equal to: missing, empty ("", [] and {}), or both, which
// then are equal to each other too:
//
//	{ path: $.nick, null: [missing, empty] }
//
// text says what does not count in texts: case (simple folding of Unicode), space
// (how many blanks stand between words, and any at the ends), or both:
//
//	{ path: $.title, text: [case, space] }
//
// url compares addresses by their parts, the parameters of queries in any order,
// see [URL]. A redirect is header:location:
//
//	{ path: header:location, url: { without: [origin, "query:sid"] } }
//
// move says that the candidate has a value elsewhere. It is compared there, and
// rules for it name the new place. Both paths go on with names and indices from
// what they begin with in common. Where the candidate has both places both are
// compared; where it lacks the new one, or the primary has it already, nothing has
// moved:
//
//	{ path: "$.items[*].cost", move: { to: "$.items[*].price.amount" } }
//	{ path: header:X-Total, move: { to: header:X-Total-Count } }
//
// expect asks for a difference of a kind (any: at the place or below it). Where
// both sides have the same, or at a single place neither has anything, that counts,
// as kind unmet. The other kinds of the same rule narrow what is expected. Nothing
// but a status is expected of two answers that are both errors (400 and above):
//
//	{ path: $.vat, expect: extra }
//	{ path: $.state, expect: changed, enum: { ACTIVE: active } }
//
// decode says that texts are documents: json, ndjson, xml, form, jwt (header,
// payload and signature; nothing is verified) or text, after codings that are taken
// off one after the other: base64 (either alphabet), gzip, deflate, br, zstd. They are
// compared as documents, and paths go on inside, where XML's arrays are mentioned
// too. The same rule opens texts inside texts, four deep. A text that only one side
// can decode is of kind undecoded; a document in the place of a text is of another
// type. With path body it says how bodies are read:
//
//	{ path: $.payload, decode: json }
//	{ path: $.cursor, decode: base64+json }
//	{ path: body, decode: sniff }
//
// array says how arrays are compared, the last such rule for a place holds: list;
// set, where each element must be on the other side; multiset, as often as there;
// key, where elements of one key belong together, of several with one key the first
// and the first, and those that lack a part of it by position among themselves. A
// part of a key is a member's name or a path from the element:
//
//	{ path: $.tags, array: multiset }
//	{ path: $.items, array: { key: [sku, $.size.code] } }
//
// normal declares 5xx statuses answers, compare takes a header out of the catalogue
// of volatile ones; a rule that says what the values of one header mean does so too:
//
//	{ path: status, normal: [503] }
//	{ path: header:etag, compare: true }
//
// Between primary and secondary, which are one version, nothing has moved, no word
// has another and nothing is expected.
//
// [Lint] says what is doubtful about rules: over-broad, shadowed, ambiguous,
// expired, nobody's; [Unused] which took nothing away. [Mutants] are answers with
// one flaw each, that show what rules would let pass.
//
// # Bounds
//
// Of two JSON documents the second is read along the first: what both write alike
// at the same place is read once. A body is decoded to at most 16 MiB, 1000 levels
// and 4 194 304 values; beyond it cannot be decoded. 256 differences that count are
// kept, and as many that do not; more make a comparison truncated.
//
// Looks at values and lines, rules tried and tables of alignments are counted as
// steps, per byte of both bodies and of the rules as text. Past 32 a byte arrays and
// lines are compared by position, and so are those whose table would have more than
// 1 048 576 cells; past 48 the comparison ends with what it has found, and is not
// comparable ([ReasonTruncated]) if that is nothing that counts. It never takes more
// than 64. Of sets 4096 pairs of elements are tried under rules.
//
// # Places
//
// A place is written as rules write it: status, header:NAME, cookie:NAME (and
// cookie:NAME;ATTRIBUTE), trailer:NAME, text line N, body, answer, or a path such
// as $.items[3].price (RFC 9535). The normalised form has positions and keys of
// maps taken out: $.items[*].price. With the endpoint, the kind and the value
// class it makes the fingerprint of the issue a difference belongs to; without the
// endpoint it makes the cause. The value class says how the candidate's value came
// out of the primary's ("ms became s", "null became []") and holds no values:
// [ValueClasses] is the closed list.
//
// # Secrets
//
// Compare sees the answers as they are. Before an exchange or a comparison is
// stored or shown, it passes a [Redactor].
package compare
