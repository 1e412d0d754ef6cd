package mirror

import (
	"context"
	"slices"

	"parallax"
)

// A write that a live candidate gave no answer to may have been done there. Giving it to the primary all the same is
// right in two cases: the candidate writes nothing at all; or each leg has a database of its own and gets what is written on
// the other. In the second the primary would have got it as the shadow. It gets it once, and the user stays there until the
// candidate is known to have it too.

// mayGiveOn reports whether an unsafe request may be given to the primary after the live candidate has failed.
func (f *flight) mayGiveOn() bool {
	switch {
	case f.endpoint.operations != nil: // which legs may get it is known once the body is read
		return false
	case f.live.state == None:
		return true
	}
	return f.service.partitioned() && f.reason == "" && f.lane != (laneKey{}) && f.m.spools[parallax.Candidate].Load() != nil &&
		slices.Contains(f.shadows, f.service.legs[parallax.Primary])
}

// giveOn gives an unsafe request to the primary, for the caller and in place of what it would have got as the shadow. Once
// it is asked it is asked no more, whatever came of it.
func (f *flight) giveOn(ctx context.Context, out caller, x failure) (why string) {
	primary := f.service.legs[parallax.Primary]
	switch {
	case f.callerGone(ctx):
		return uncaughtPrimary // nobody hears of it, and nobody was told that it is done
	case !f.net.anew:
		return uncaughtNames
	}
	f.shadows = slices.DeleteFunc(slices.Clone(f.shadows), func(l *leg) bool { return l == primary })
	defer f.endTurn(primary)
	legCtx, end := f.outlast(ctx, primary)
	defer end()
	return f.giveFresh(ctx, legCtx, out, x)
}

// pin keeps the user of a write that the primary has done in the candidate's place there: before the caller can know that it
// is done the candidate is behind. The answer is kept, to be compared and to be caught up with. Of a safe request there is
// nothing to keep.
func (f *flight) pin(a *answer) *capture {
	if f.endpoint.safe {
		return nil
	}
	if f.live.state == Own {
		f.missing[parallax.Candidate] = f.m.spools[parallax.Candidate].Load().Reserve(f.lane, f.about(), f.x.Received)
	}
	return f.keepAnswer(f.service.legs[parallax.Primary], a.Length)
}

// gaveOn reports whether the caller was told by the primary that a write is done which the live candidate failed.
func (f *flight) gaveOn() bool { return f.x.Covered && !f.endpoint.safe }

// answerer is the leg whose answer the caller has.
func (f *flight) answerer() parallax.Leg {
	if f.gaveOn() {
		return parallax.Primary
	}
	return f.reference()
}
