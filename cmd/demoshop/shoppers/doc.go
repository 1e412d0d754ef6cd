// Package shoppers is the customers of the demo shop: each registers, logs in,
// orders, looks, changes his mind, pays or cancels, and makes mistakes, as a random
// generator of his own decides. What a shopper asks for depends on seed, number and
// answers alone, never on time, so that two runs with one seed send the same
// requests if the shop answers the same.
//
// All shoppers together send so many requests a second. Whoever waits longer for
// his turn sends later, and skips nothing.
package shoppers
