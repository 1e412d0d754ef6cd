//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksASecond is USER_HZ, the unit of times in /proc, which Linux fixes at 100
// for programs.
const ticksASecond = 100

// stat is what /proc/PID/stat says of a process.
type stat struct {
	pid, parent, group int
	cpu                time.Duration // user and system, of the process without its children
}

// parseStat reads a line of /proc/PID/stat. The name in its second field may
// hold blanks and brackets.
func parseStat(text string) (stat, error) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		return stat{}, fmt.Errorf("cannot read process statistics %q", text)
	}
	fields := strings.Fields(text[shut+1:])
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("cannot read process statistics %q", text)
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // the kernel writes numbers
		return n
	}
	return stat{
		pid: number(strings.TrimSpace(text[:open])), parent: number(fields[1]), group: number(fields[2]),
		cpu: time.Duration(number(fields[11])+number(fields[12])) * time.Second / ticksASecond,
	}, nil
}

// family returns the process and its descendants: those in its group, which
// serve, and those that have groups of their own, which help, as Parallax'
// engine does.
func (p *process) family() (serving, helping []stat, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, nil, err
	}
	all := map[int]stat{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		if s, err := parseStat(string(text)); err == nil {
			all[s.pid] = s
		}
	}
	own := p.cmd.Process.Pid
	for _, s := range all {
		switch {
		case s.group == own:
			serving = append(serving, s)
		case descends(all, s, own):
			helping = append(helping, s)
		}
	}
	if len(serving) == 0 {
		return nil, nil, p.failure(errors.New("it is not running any more"))
	}
	return serving, helping, nil
}

func descends(all map[int]stat, s stat, from int) bool {
	for range len(all) { // a list read over time may hold a circle
		if s.parent == from {
			return true
		}
		parent, ok := all[s.parent]
		if !ok {
			return false
		}
		s = parent
	}
	return false
}

// cpu returns the time that the family has used so far.
func (p *process) cpu() (serving, helping time.Duration, err error) {
	serve, help, err := p.family()
	for _, s := range serve {
		serving += s.cpu
	}
	for _, s := range help {
		helping += s.cpu
	}
	return serving, helping, err
}

// idleShare is how much of one core a process may use and count as idle.
const idleShare = 0.05

// machine is how much processor time was used up to a moment, by this program
// with those it started and waited for, and by everything on the machine.
type machine struct {
	at         time.Time
	own, whole time.Duration
}

func lookAtMachine() (machine, error) {
	m := machine{at: time.Now()}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return m, fmt.Errorf("cannot read the processor time used: %w", err)
		}
		m.own += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, fmt.Errorf("cannot read the processor time used: %w", err)
	}
	m.whole, err = busy(string(text))
	return m, err
}

// busy returns the time that processors were not idle, by the first line of
// /proc/stat: user nice system idle iowait irq softirq steal.
func busy(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("cannot read processor statistics %q", first)
	}
	var ticks int64
	for i, field := range fields[1:9] {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksASecond, nil
}

// others returns which share of all processors other programs used since an
// earlier look. What this program started must have ended in between.
func (m machine) others(before machine) float64 {
	used := (m.whole - before.whole) - (m.own - before.own)
	return max(0, float64(used)/float64(m.at.Sub(before.at))/float64(runtime.NumCPU()))
}

// quiet waits until the family uses next to no processor time, at most for
// limit: what it still does then is its normal life.
func (p *process) quiet(ctx context.Context, limit time.Duration) error {
	const look = 500 * time.Millisecond
	deadline := time.Now().Add(limit)
	serving, helping, err := p.cpu()
	for err == nil && time.Now().Before(deadline) {
		if err := pause(ctx, look); err != nil {
			return err
		}
		s, h, again := p.cpu()
		if used := s + h - serving - helping; again == nil && used <= time.Duration(float64(look)*idleShare) {
			return nil
		}
		serving, helping, err = s, h, again
	}
	return err
}

// pause waits, or returns why the context ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// peak is the most that the serving processes held at a time, as far as seen.
type peak struct {
	resident    int64 // bytes
	descriptors int
}

// watch looks at the serving processes five times a second until stop is called,
// which returns the peak.
func (p *process) watch() (stop func() peak, err error) {
	serving, _, err := p.family()
	if err != nil {
		return nil, err
	}
	end, ended := make(chan struct{}), make(chan peak)
	go func() {
		var top peak
		again := time.NewTicker(200 * time.Millisecond)
		defer again.Stop()
		for {
			now := held(serving)
			top.resident, top.descriptors = max(top.resident, now.resident), max(top.descriptors, now.descriptors)
			select {
			case <-end:
				ended <- top
				return
			case <-again.C:
			}
		}
	}()
	return func() peak { close(end); return <-ended }, nil
}

// held is what processes hold now. One that has ended holds nothing.
func held(serving []stat) peak {
	var sum peak
	for _, s := range serving {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
		if err != nil {
			continue
		}
		sum.resident += resident(text)
		if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid)); err == nil {
			sum.descriptors += len(list)
		}
	}
	return sum
}

// resident returns the bytes in the line VmRSS of /proc/PID/status, 0 when there
// is none.
func resident(status []byte) int64 {
	_, rest, _ := bytes.Cut(status, []byte("\nVmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return kilobytes << 10
}
