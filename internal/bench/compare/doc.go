// Command compare measures Parallax's comparison of JSON answers beside go-cmp,
// wI2L/jsondiff and jd, decoding included, and prints a Markdown table.
//
// It is a module of its own, so that the libraries it measures against are
// neither in Parallax's go.mod nor in anything that Parallax is built from.
//
// Each case is a document of 1 KB to 1 MB and a second one that is equal, has
// planted differences, or is written anew with its members in another order and
// other spacing. Before anything is measured, each contender says which places
// differ. One that does not name exactly the planted places is inexact (jd names a
// whole element of a long array instead), and its time does not count.
//
// The contenders take turns, and the time of one is the median of its runs. A
// contender that needs longer than the limit for one comparison is measured by
// that one. Ratios are how many times longer than Parallax the fastest of the
// others that are exact takes.
package main
