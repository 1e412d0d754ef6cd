// Package push puts the step into splitters that stand outside, such as a proxy in
// front of Parallax.
//
// A pusher writes the step, reads it back, and looks again every few seconds. It
// does not fight another owner: where something else stands than what it has put
// there, it stops, says so, and waits until a person sets the step again. Two things
// are not another owner: a splitter that forgot the step as it was restarted, and
// whatever stands against a rollback, which comes before everything. While Parallax
// is away, nothing changes.
package push
