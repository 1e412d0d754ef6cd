// Package parallax holds the values that every room of Parallax shares: the
// exchange (one request with what every leg answered), its identity, its
// encoding, and the places an exchange is counted in.
//
// Everything here is a plain value. The package uses the standard library only,
// starts no goroutine and does no I/O; [Exchange] is not touched after it was
// offered to a queue.
package parallax
