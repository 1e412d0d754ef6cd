// Package body turns the bytes of a body into values: content codings are taken
// off, JSON becomes a tree that keeps every spelling, numbers become exact
// decimals, and paths in the style of RFC 9535 name places in a tree.
//
// Everything is a function of its arguments; bounds on size, depth and number of
// values are part of each call, so that no input costs more than they allow.
package body
