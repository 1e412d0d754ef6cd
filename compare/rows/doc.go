// Package rows says which of the rows that two versions wrote for one request
// belong together.
//
// [Net] folds the effects of an exchange into what is left of them: one [Row] for
// each row touched. [Match] pairs the rows of the two legs. Rows that were there
// before have a key that both legs know, or that was translated before. Rows that
// the exchange made have keys that each database made up for itself: 17 here and
// 9017 there. They are taken as nodes without a name. What a row says, and what the
// rows say that it refers to and that refer to it, gives it a colour, over and over
// until no colour splits any more (colour refinement; Weisfeiler and Leman, 1968);
// rows of one colour belong together. What is left over is paired by how much of it
// is alike, so that one wrong column is one difference and not a row too much and
// one too few.
//
// From the pairs follows what each made-up value of the candidate stands for
// ([Matching.Primary]). Once all of them are translated, a wrong reference differs
// and another number does not. So the pairing decides what a difference is called,
// and never whether there is one: rows that are no image of each other differ
// whatever they are paired with.
//
// Everything here is a function of its arguments.
package rows
