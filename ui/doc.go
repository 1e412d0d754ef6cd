// Package ui is the admin HTTP server: pages for people, a JSON API for
// programs, health and metrics for operations.
//
// Everything it shows or changes is asked for through small interfaces ([Judge],
// [Stepper], [Evidence], [Summaries], [Triage], [Exchanges], [Rates],
// [RuleBook], [Rehearsal]), so a page can
// be tested with plain values and the server needs no store of its own. Nothing it
// does can hold up traffic: every request is bounded in time and size, and so is
// their number.
//
// Pages are HTML made on the server. They need no script; static/charts.js draws
// charts with a cursor where scripts run. The content security policy allows files
// of this server alone, nothing inline. What a leg answered is shown as escaped
// text, never rendered. The whole state of a page is in its URL, and all times
// are UTC.
//
// Who may do what is in door.go: a program sends a token, a browser has a session
// that began with one. The server refuses requests for names it does not go by,
// and changes that a browser makes for another site.
package ui
