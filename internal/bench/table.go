//go:build linux

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is a Markdown table whose columns line up in a terminal too. The first
// column holds names, the others figures.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) *table { return &table{head: head} }

// add appends a row. Missing cells are empty.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell(row, i)), 3)
		}
	}
	var b strings.Builder
	line(&b, t.head, widths)
	rule := make([]string, len(widths))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
		if i > 0 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	line(&b, rule, widths)
	for _, row := range t.rows {
		line(&b, row, widths)
	}
	return b.String()
}

func line(b *strings.Builder, row []string, widths []int) {
	for i, w := range widths {
		text := cell(row, i)
		pad := strings.Repeat(" ", w-utf8.RuneCountInString(text))
		if i == 0 {
			text += pad
		} else {
			text = pad + text
		}
		b.WriteString("| " + text + " ")
	}
	b.WriteString("|\n")
}

func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	return row[i]
}

// figure prints a number with three or more significant digits, and a dash when
// there is none.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case a >= 100:
		return grouped(fmt.Sprintf("%.0f", v))
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// grouped puts a blank before every third digit from the right.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

// count prints a whole number, and a dash when there is none.
func count(v float64) string {
	if math.Abs(v) < 100 {
		return strconv.Itoa(int(math.Round(v)))
	}
	return figure(v)
}

// times prints a ratio.
func times(v float64) string {
	if text := figure(v); text != "-" {
		return text + "x"
	}
	return "-"
}

// percent prints a share.
func percent(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}
