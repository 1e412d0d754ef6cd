package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func main() {
	testing.Init()
	runs := flag.Int("runs", 5, "runs of each contender in each case; the median counts")
	each := flag.Duration("time", 300*time.Millisecond, "how long one run takes, about")
	limit := flag.Duration("limit", 5*time.Second, "a comparison that takes longer is not repeated")
	only := flag.String("case", "", "measure only cases whose name contains this, such as 100KB")
	flag.Parse()
	if *runs < 1 || *each <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "compare: runs and time must be above zero, and there are no arguments")
		os.Exit(2)
	}
	if err := flag.Set("test.benchtime", each.String()); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	fmt.Print(header())
	for _, p := range pairings() {
		if strings.Contains(p.title(), *only) {
			fmt.Print(row(p, measure(p, *runs, *limit)))
		}
	}
}

// figure is what one contender needed in one case.
type figure struct {
	exact  bool
	time   time.Duration // median
	allocs int64
	bytes  int64 // allocated
}

// measure lets the contenders take turns.
func measure(p pairing, runs int, limit time.Duration) []figure {
	figures, times := make([]figure, len(contenders)), make([][]time.Duration, len(contenders))
	slow := make([]bool, len(contenders))
	for i, c := range contenders {
		start := time.Now()
		found := c.diff(p.primary, p.candidate)
		took := time.Since(start)
		figures[i].exact = exact(p, c.where(found))
		if slow[i] = took > limit; slow[i] {
			times[i] = append(times[i], took)
		}
	}
	for range runs {
		for i, c := range contenders {
			if slow[i] {
				continue
			}
			r := testing.Benchmark(func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.diff(p.primary, p.candidate)
				}
			})
			times[i] = append(times[i], time.Duration(r.NsPerOp()))
			figures[i].allocs, figures[i].bytes = r.AllocsPerOp(), r.AllocedBytesPerOp()
		}
	}
	for i := range times {
		slices.Sort(times[i])
		figures[i].time = times[i][len(times[i])/2]
	}
	return figures
}

// exact reports whether exactly the planted places were found.
func exact(p pairing, found []string) bool {
	found = slices.Sorted(slices.Values(found))
	return slices.Equal(found, slices.Sorted(slices.Values(p.planted)))
}

func (p pairing) title() string {
	if p.size < 1<<20 {
		return fmt.Sprintf("%d KB, %s", p.size>>10, p.name)
	}
	return fmt.Sprintf("%d MB, %s", p.size>>20, p.name)
}

func header() string {
	text, rule := "| case |", "| --- |"
	for _, c := range contenders {
		text += " " + c.name + " |"
		rule += " ---: |"
	}
	return text + " best of the others |\n" + rule + " ---: |\n"
}

func row(p pairing, figures []figure) string {
	text := "| " + p.title() + " |"
	for _, f := range figures {
		text += " " + f.String() + " |"
	}
	return text + " " + ratio(figures) + " |\n"
}

// ratio says how many times longer the fastest of the others that are exact took
// than Parallax.
func ratio(figures []figure) string {
	others := slices.DeleteFunc(slices.Clone(figures[1:]), func(f figure) bool { return !f.exact })
	switch {
	case !figures[0].exact:
		return "Parallax is inexact"
	case len(others) == 0:
		return "none is exact"
	}
	best := slices.MinFunc(others, func(a, b figure) int { return cmp.Compare(a.time, b.time) })
	return fmt.Sprintf("**%.1fx**", float64(best.time)/float64(figures[0].time))
}

func (f figure) String() string {
	text := fmt.Sprintf("%s, %d allocs", short(f.time), f.allocs)
	if f.allocs == 0 && f.time > time.Second {
		text = short(f.time)
	}
	if !f.exact {
		text += ", inexact"
	}
	return text
}

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g us", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}
