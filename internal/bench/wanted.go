//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
)

// bound says on which side of a limit a figure has to be.
type bound string

// Both sides include the limit.
const (
	atLeast bound = "at least"
	atMost  bound = "at most"
)

// holds reports whether a figure is where it has to be. No figure is not.
func (b bound) holds(value, limit float64) bool {
	switch {
	case math.IsNaN(value):
		return false
	case b == atLeast:
		return value >= limit
	}
	return value <= limit
}

// wanted prints whether a figure of Parallax is what it has to be.
func wanted(out io.Writer, what string, value, limit float64, b bound) {
	word := "missed"
	if b.holds(value, limit) {
		word = "met"
	}
	fmt.Fprintf(out, "- %s: %s %s, wanted %s %s\n", word, what, figure(value), b, figure(limit))
}
