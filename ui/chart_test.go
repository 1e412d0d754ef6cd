package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

func pointsOf(each time.Duration, nk ...int64) []divergence.RatePoint {
	var out []divergence.RatePoint
	for i := 0; i < len(nk); i += 2 {
		p := divergence.RatePoint{At: now.Add(time.Duration(i/2) * each), N: nk[i], K: nk[i+1]}
		if p.N > 0 {
			p.Rate = float64(p.K) / float64(p.N)
		}
		out = append(out, p)
	}
	return out
}

func TestChartHasGapsWhereNothingWasCompared(t *testing.T) {
	t.Parallel()
	c := newChart(series{points: pointsOf(time.Minute, 100, 1, 100, 2, 0, 0, 100, 3, 100, 1, 0, 0, 100, 2)}, 640, 200)
	if len(c.Rate) != 2 || len(c.Dots) != 5 || len(c.Bars) != 7 || len(c.Band) != 0 {
		t.Errorf("%d lines, %d dots, %d bars, %d bands", len(c.Rate), len(c.Dots), len(c.Bars), len(c.Band))
	}
	if c.Bars[2].H != 0 || c.Bars[0].H != volumeSpace {
		t.Errorf("heights %v and %v", c.Bars[2].H, c.Bars[0].H)
	}
	want := "Divergence rate over time: 9 of 500 exchanges diverge, 1.8" + thin + "%. Highest: 3" + thin + "% at 2026-11-21 12:03:00 UTC."
	if c.Summary != want {
		t.Errorf("%q", c.Summary)
	}
}

// TestChartStaysInItsBox draws rates from none to all and limits beyond them.
func TestChartStaysInItsBox(t *testing.T) {
	t.Parallel()
	f := func(threshold float64, nk ...int64) {
		t.Helper()
		points := pointsOf(time.Minute, nk...)
		c := newChart(series{points: points, limits: limitsOf(points, 0.05), threshold: threshold}, 640, 200)
		inside := func(x, y float64) {
			if x < c.Left || x > c.Right || y < c.Top || y > c.Floor {
				t.Errorf("%v: (%v, %v) is outside", nk, x, y)
			}
		}
		for _, d := range c.Dots {
			inside(d.X, d.Y)
		}
		for _, b := range c.Bars {
			inside(b.X, b.Y)
		}
		for _, y := range c.YTicks {
			inside(c.Left, y.At)
		}
		for _, x := range c.XTicks {
			inside(x.At, c.Floor)
		}
		if threshold > 0 {
			inside(c.Left, c.Allowed)
		}
		if len(c.YTicks) < 2 || len(c.YTicks) > 7 || len(c.XTicks) == 0 {
			t.Errorf("%v: %d and %d ticks", nk, len(c.YTicks), len(c.XTicks))
		}
		if strings.Contains(strings.Join(append(c.Rate, c.Band...), " "), "NaN") {
			t.Errorf("%v: not a number", nk)
		}
	}
	f(0, 10, 0)
	f(0.001, 10, 10, 10, 10, 10, 0)
	f(0.5, 1, 0, 1, 1)
	f(0.9, 100, 0, 100, 100)
	f(0.0001, 1000000, 3, 1000000, 0, 1000000, 1)
	f(0.001, 0, 0, 0, 0)
}

func TestNoChartOfNothing(t *testing.T) {
	t.Parallel()
	if c := newChart(series{}, 640, 200); c != nil {
		t.Errorf("%+v", c)
	}
}

func TestChartLabelsTime(t *testing.T) {
	t.Parallel()
	f := func(each time.Duration, want ...string) {
		t.Helper()
		c := newChart(series{points: pointsOf(each, make([]int64, 2*72)...)}, 480, 200)
		var got []string
		for _, x := range c.XTicks {
			got = append(got, x.Label)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", each, diff)
		}
	}
	f(time.Second, "12:00:00", "12:00:15", "12:00:30", "12:00:45", "12:01:00")
	f(20*time.Minute, "12:00", "18:00", "00:00", "06:00")
	f(150*time.Second, "12:00", "13:00", "14:00")
	f(4*time.Hour, "23 Nov", "30 Nov")
}

// TestChangesAreInCharts: those of the chart's time, in the picture and in what the script reads.
func TestChangesAreInCharts(t *testing.T) {
	t.Parallel()
	s := series{points: pointsOf(time.Minute, 100, 1, 0, 0, 100, 3), marks: []changeMark{
		{now.Add(-time.Second), "before"}, {now.Add(90 * time.Second), `5 % "more"`}, {now.Add(3 * time.Minute), "after"},
	}}
	s.limits = limitsOf(s.points, 0.05)
	c := newCharts(s, 640, 200)
	want := []markLine{{round(c.Wide.Left + (c.Wide.Right-c.Wide.Left)/2), "2026-11-21 12:01:30 UTC: 5 % \"more\""}}
	if diff := cmp.Diff(want, c.Wide.Marks); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var p plot
	if err := json.Unmarshal([]byte(c.Data), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Marks) != 1 || p.Marks[0] != (plotMark{now.Unix() + 90, `5 % "more"`}) {
		t.Errorf("marks %v", p.Marks)
	}
	if len(p.Rate) != 3 || p.Rate[1] != nil || *p.Rate[2] != 0.03 || p.Upper[1] != nil || !(*p.Upper[2] > *p.Lower[2]) || p.Summary != c.Wide.Summary {
		t.Errorf("%s", c.Data)
	}
}

func TestNiceStep(t *testing.T) {
	t.Parallel()
	f := func(v, want float64) {
		t.Helper()
		if got := niceStep(v); got/want < 0.999 || got/want > 1.001 {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
	f(0.0003, 0.0005)
	f(0.001, 0.001)
	f(0.0011, 0.002)
	f(0.6, 1)
	f(3, 5)
}

// TestMarksOfRules: rules that came with a reload are a change, the first ones are none.
func TestMarksOfRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	marks, err := r.marks(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	var of []time.Time
	for _, m := range marks {
		if m.Text == "the configuration brought other rules" {
			of = append(of, m.At)
		}
	}
	if len(of) != 1 || !of[0].Equal(now) {
		t.Errorf("rules came at %v; want %v alone", of, now)
	}
}
