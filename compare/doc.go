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
// say something about the moment or the machine ([Volatile]) are left out unless
// a rule asks for them. Content codings are taken off before bodies are looked
// at, so that gzip on one side only is no difference. Then
//
//   - JSON is walked as two trees. Members are found by name, in any order; those
//     of one name are told apart ($.a, $.a#2). Numbers are equal when their exact
//     decimal values are: 1 = 1.0, and 9007199254740993 is not ...992. Missing,
//     null and empty are three things. Arrays are aligned by a longest common
//     subsequence, so that one insertion is one difference; as a set by rule.
//   - Text is compared by lines, aligned likewise.
//   - Other bytes are compared by length and hash.
//
// What only one side can be decoded as is a difference of kind undecoded; what
// neither can is bytes. A body of which only the beginning was kept makes the
// exchange not comparable, unless hashes, sizes or the rest of the answer decide:
// of two texts or other bytes without a content coding they do, of JSON only
// against a complete body that is far shorter. What is kept of coded bytes decides
// nothing.
//
// # What counts
//
// A difference does not count when a rule takes it away ([Rule]: the place is
// ignored, or two numbers are within a tolerance), or when it is noise: when
// primary and secondary, two instances of one version, differ there in the same
// way ([NoiseModel]). It stays in the comparison with the reason; see
// [Suppression]. Differences that do not count are looked through without end, so
// that they never hide one that does.
//
// Noise is judged as closely as the exchange allows: at the very element, line
// and word, and only for a value of like shape. What is left is this. At a place
// where the secondary always differs, a wrong value of the same shape cannot be
// told from noise: another random number of like magnitude, another UUID, other
// words where primary and secondary have other words. Nor can an extra element of
// an array that the secondary has extra too. A place that is noise as a rule is
// excused by the past while the secondary is away or agrees by chance, until the
// candidate has differed alone too often; but while the secondary is away, lines of
// a text and elements of an array that are usually noise make the exchange not
// comparable. So a service whose answers are mostly noise is mostly unchecked:
// reports show the share, and rules that name the random fields are the better
// way.
//
// No rule and no noise excuses a candidate that gave no complete answer where the
// primary did. A primary that failed makes the exchange not comparable.
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
