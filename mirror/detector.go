package mirror

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// detector decides, from pairs of windows, whether the live leg is slower with
// mirroring. It has no clock and no randomness.
//
// One pair is one toss: slower, if with > ratio*without + plus. Which of the two
// windows came first was decided by a coin, so where mirroring has no effect it
// is at most as likely as not, whatever the load, trends and outliers do: with
// and without can change places. Against that stands
//
//	W <- max(W, 1) * (q/(1/2) if slower, (1-q)/(1/2) if not),  q = 0.9
//
// Page's CUSUM as an e-detector (Shin, Ramdas and Rinaldo, "E-detectors: a
// nonparametric framework for sequential change detection", 2023): the factor's
// mean is at most 1, so without an effect an alarm at W >= 10^5 comes at most once
// in 10^5 pairs on average, however long it runs, while an effect that shows in
// every pair is found after 20, and at any time.
type detector struct {
	w      float64   // ln W
	pairs  int       // since W was last 1
	slower int       // of them
	ratios []float64 // with/without of those pairs, the last maxRatios of them
}

const (
	alarmAt     = 1e5
	slowerOdds  = 0.9 // q
	maxRatios   = 64
	chanceWords = "by chance this comes once in 100 000 pairs at most"
)

// add adds a pair and reports whether it raises the alarm.
func (d *detector) add(with, without time.Duration, o WatchdogOptions) bool {
	if d.w <= 0 {
		*d = detector{ratios: d.ratios[:0]}
	}
	d.pairs++
	if without > 0 {
		if len(d.ratios) == maxRatios {
			d.ratios = slices.Delete(d.ratios, 0, 1)
		}
		d.ratios = append(d.ratios, float64(with)/float64(without))
	}
	if float64(with) > o.Ratio*float64(without)+float64(o.Plus) {
		d.slower++
		d.w += math.Log(2 * slowerOdds)
	} else {
		d.w += math.Log(2 * (1 - slowerOdds))
	}
	return d.w >= math.Log(alarmAt)
}

// why says in words what the alarm is about.
func (d *detector) why() string {
	return fmt.Sprintf("the live leg is slower with mirroring: its p90 is %.1f times as long, in %d of %d pairs of windows with and without; %s",
		median(d.ratios), d.slower, d.pairs, chanceWords)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// quantile returns the time within which nine tenths of n ended, of which some
// are not known because they have not ended. It sorts took.
func quantile(took []time.Duration, n int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min((n*9+9)/10, len(took))-1]
}
