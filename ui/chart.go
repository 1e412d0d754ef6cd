package ui

import (
	"fmt"
	"math"
	"strings"
	"time"

	"parallax/divergence"
)

// chart is a rate over time, laid out in units of its view box. The template
// only writes down what stands here; colours come from the style sheet.
type chart struct {
	Width, Height  int
	Left, Right    float64 // of the plot
	Top, Bottom    float64 // of the rate
	Floor          float64 // of the volume, which stands below the rate
	Rate           []string
	Band           []string
	Dots           []dot
	Bars           []bar
	Marks          []markLine
	XTicks, YTicks []tick
	Allowed        float64 // the y of the threshold; 0 when there is none or it is out of sight
	AllowedText    string
	Summary        string
	LabelX, AxisY  float64 // where labels of the two axes stand
	most           float64 // the rate at the top
}

type dot struct{ X, Y float64 }

type markLine struct {
	X     float64
	Title string
}

type bar struct {
	X, W         float64
	Y, H         float64 // of the volume
	Top, HoverTo float64
	Title        string
}

type tick struct {
	At    float64
	Label string
}

// series is what a chart shows.
type series struct {
	points    []divergence.RatePoint
	limits    []limits     // of the points; nil for none
	threshold float64      // 0 for none
	marks     []changeMark // what people and the policy changed meanwhile
}

// changeMark is a change of the step or of the rules, at its time in the chart.
type changeMark struct {
	At   time.Time
	Text string
}

// limits are what a rate lies between.
type limits struct{ lower, upper float64 }

const (
	chartLeft   = 46
	chartTop    = 10
	volumeSpace = 34
	volumeGap   = 10
	axisSpace   = 20
)

// newChart lays the series out. It is nil when there is nothing to show.
func newChart(s series, width, height int) *chart {
	if len(s.points) == 0 {
		return nil
	}
	c := &chart{
		Width: width, Height: height,
		Left: chartLeft, Right: float64(width) - 8,
		Top: chartTop, Bottom: float64(height - axisSpace - volumeSpace - volumeGap), Floor: float64(height - axisSpace),
		LabelX: chartLeft - 8, AxisY: float64(height - 5),
	}
	top := c.scaleY(s)
	y := func(rate float64) float64 { return c.Bottom - (c.Bottom-c.Top)*min(rate/top, 1) }
	slot := (c.Right - c.Left) / float64(len(s.points))
	x := func(i int) float64 { return c.Left + slot*(float64(i)+0.5) }
	c.most = top
	c.lines(s, x, y)
	c.bars(s.points, slot)
	c.scaleX(s.points, slot)
	c.mark(s)
	if s.threshold > 0 {
		c.Allowed = round(y(s.threshold))
		c.AllowedText = percent(s.threshold) + " allowed"
	}
	c.Summary = summarise(s.points)
	return c
}

// scaleY chooses the top of the rate axis and its ticks.
func (c *chart) scaleY(s series) float64 {
	most := 1.25 * s.threshold
	for _, p := range s.points {
		most = max(most, p.Rate)
	}
	for _, l := range s.limits { // a band may leave the picture, but not by much
		most = max(most, min(l.upper, 3*most))
	}
	if most <= 0 {
		most = 0.01
	}
	step := niceStep(most / 3)
	top := min(step*math.Ceil(most/step), max(1, most))
	for v := 0.0; v <= top+step/2; v += step {
		c.YTicks = append(c.YTicks, tick{At: round(c.Bottom - (c.Bottom-c.Top)*min(v/top, 1)), Label: percent(v)})
	}
	return top
}

// mark draws the changes that happened while the points were counted.
func (c *chart) mark(s series) {
	first, span := s.points[0].At, spanOf(s.points)
	for _, m := range s.marks {
		if into := m.At.Sub(first); into >= 0 && into < span {
			x := c.Left + (c.Right-c.Left)*float64(into)/float64(span)
			c.Marks = append(c.Marks, markLine{round(x), utc(m.At) + ": " + m.Text})
		}
	}
}

// spanOf is the time that points stand for; 0 where one stands alone.
func spanOf(points []divergence.RatePoint) time.Duration {
	if len(points) < 2 {
		return 0
	}
	return time.Duration(len(points)) * points[1].At.Sub(points[0].At)
}

// niceStep returns 1, 2 or 5 times a power of ten, at least v.
func niceStep(v float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*base >= v*(1-1e-9) {
			return m * base
		}
	}
	return 10 * base
}

// lines draws the rate and its band, with gaps where nothing was compared.
func (c *chart) lines(s series, x func(int) float64, y func(float64) float64) {
	var line, upper, lower []string
	flush := func() {
		if len(line) > 1 {
			c.Rate = append(c.Rate, strings.Join(line, " "))
		}
		if len(upper) > 1 {
			c.Band = append(c.Band, strings.Join(append(upper, lower...), " "))
		}
		line, upper, lower = nil, nil, nil
	}
	for i, p := range s.points {
		if p.N == 0 {
			flush()
			continue
		}
		line = append(line, point(x(i), y(p.Rate)))
		if i < len(s.limits) {
			upper = append(upper, point(x(i), y(s.limits[i].upper)))
			lower = append([]string{point(x(i), y(s.limits[i].lower))}, lower...)
		}
		alone := (i == 0 || s.points[i-1].N == 0) && (i == len(s.points)-1 || s.points[i+1].N == 0)
		if alone || len(s.points) <= 40 {
			c.Dots = append(c.Dots, dot{round(x(i)), round(y(p.Rate))})
		}
	}
	flush()
}

// bars draws how much was compared, and gives every point a place to hover.
func (c *chart) bars(points []divergence.RatePoint, slot float64) {
	var most int64 = 1
	for _, p := range points {
		most = max(most, p.N)
	}
	for i, p := range points {
		h := volumeSpace * float64(p.N) / float64(most)
		c.Bars = append(c.Bars, bar{
			X: round(c.Left + slot*float64(i) + min(1, slot/8)), W: round(max(slot-2*min(1, slot/8), 0.5)),
			Y: round(c.Floor - h), H: round(h), Top: c.Top, HoverTo: c.Floor - c.Top,
			Title: fmt.Sprintf("%s: %s of %s diverge (%s)", utc(p.At), count(p.K), count(p.N), percent(p.Rate)),
		})
	}
}

// scaleX labels as many whole moments as have room.
func (c *chart) scaleX(points []divergence.RatePoint, slot float64) {
	if len(points) < 2 {
		c.XTicks = []tick{{round(c.Left + slot/2), points[0].At.UTC().Format("15:04")}}
		return
	}
	each := points[1].At.Sub(points[0].At)
	span := each * time.Duration(len(points))
	step := time.Minute
	for _, s := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		step = s
		if float64(span/s) <= (c.Right-c.Left)/80 {
			break
		}
	}
	format := "15:04"
	switch {
	case step >= 24*time.Hour:
		format = "2 Jan"
	case step < time.Minute:
		format = "15:04:05"
	case span > 24*time.Hour:
		format = "2 Jan 15:04"
	}
	first := points[0].At.UTC()
	for at := first.Truncate(step); at.Before(first.Add(span)); at = at.Add(step) {
		if at.Before(first) {
			continue
		}
		x := c.Left + (c.Right-c.Left)*float64(at.Sub(first))/float64(span)
		if x > c.Right-14 {
			continue
		}
		c.XTicks = append(c.XTicks, tick{round(x), at.Format(format)})
	}
}

// summarise says in a sentence what the picture shows.
func summarise(points []divergence.RatePoint) string {
	var n, k int64
	var worst divergence.RatePoint
	for _, p := range points {
		n, k = n+p.N, k+p.K
		if p.N > 0 && p.Rate > worst.Rate {
			worst = p
		}
	}
	if n == 0 {
		return "Nothing was compared in this time."
	}
	s := fmt.Sprintf("Divergence rate over time: %s of %s exchanges diverge, %s.", count(k), count(n), percent(float64(k)/float64(n)))
	if k > 0 {
		s += fmt.Sprintf(" Highest: %s at %s.", percent(worst.Rate), utc(worst.At))
	}
	return s
}

func point(x, y float64) string { return trimmed(x, 1) + "," + trimmed(y, 1) }

func round(v float64) float64 { return math.Round(v*10) / 10 }
