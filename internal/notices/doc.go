// Package notices tells people of new and regressed issues, of changes of a verdict and of
// rollbacks, by webhooks.
//
// Nobody waits for it, and nothing is queued: what is new follows from what the store and the
// service's state say now and from the mark of what a receiver was told last, which the store
// keeps. So a restart, a receiver that is away for hours or a store that is away loses nothing,
// and what happened meanwhile comes in one message.
package notices
