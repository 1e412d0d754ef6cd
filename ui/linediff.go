package ui

import "strings"

// maxCells bounds the table that lines are aligned with: two texts of a thousand
// changed lines each. Beyond it lines are paired by position.
const maxCells = 1 << 20

// row is one line of a side-by-side view. A side that has no line there has the
// number 0.
type row struct {
	LeftNo, RightNo int
	Left, Right     string
	Mark            mark
	Skipped         int // above 0: this row stands for so many equal lines
}

// mark says how the two sides of a row differ.
type mark string

const (
	same    mark = "same"
	changed mark = "changed"
	removed mark = "removed" // only the left side has the line
	added   mark = "added"   // only the right side has it
)

// sideBySide aligns the lines of two texts by a longest common subsequence. Runs
// of removed and added lines that meet are paired as changed ones.
func sideBySide(left, right string) []row {
	a, b := lines(left), lines(right)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	v := view{a: a, b: b}
	v.equal(head)
	v.middle(len(a)-tail, len(b)-tail)
	v.equal(tail)
	return v.rows
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// view is the rows so far, and how far into both sides they reach.
type view struct {
	a, b []string
	i, j int
	rows []row
}

func (v *view) equal(n int) {
	for range n {
		v.rows = append(v.rows, row{LeftNo: v.i + 1, RightNo: v.j + 1, Left: v.a[v.i], Right: v.b[v.j], Mark: same})
		v.i, v.j = v.i+1, v.j+1
	}
}

// block shows what lies before (i, j) as changed, then removed or added lines.
func (v *view) block(i, j int) {
	for v.i < i || v.j < j {
		r := row{Mark: changed}
		if v.i < i {
			v.i++
			r.LeftNo, r.Left = v.i, v.a[v.i-1]
		}
		if v.j < j {
			v.j++
			r.RightNo, r.Right = v.j, v.b[v.j-1]
		}
		switch {
		case r.LeftNo == 0:
			r.Mark = added
		case r.RightNo == 0:
			r.Mark = removed
		}
		v.rows = append(v.rows, r)
	}
}

// middle aligns everything before (endA, endB).
func (v *view) middle(endA, endB int) {
	a, b := v.a[v.i:endA], v.b[v.j:endB]
	if len(a)*len(b) > maxCells {
		v.block(endA, endB)
		return
	}
	width := len(b) + 1
	common := make([]int32, (len(a)+1)*width) // common[i][j]: length of the subsequence of a[i:] and b[j:]
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j, startI, startJ := 0, 0, v.i, v.j
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			v.block(startI+i, startJ+j)
			v.equal(1)
			i, j = i+1, j+1
		case common[(i+1)*width+j] >= common[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	v.block(endA, endB)
}

// shortRun is how many equal rows are not worth folding.
const shortRun = 3

// folded replaces long runs of equal rows by one that says how many they are,
// and keeps so many rows around every change.
func folded(rows []row, around int) []row {
	keep := make([]bool, len(rows))
	for i, r := range rows {
		if r.Mark != same {
			for k := max(0, i-around); k <= min(len(rows)-1, i+around); k++ {
				keep[k] = true
			}
		}
	}
	var out []row
	for i := 0; i < len(rows); {
		if keep[i] {
			out = append(out, rows[i])
			i++
			continue
		}
		end := i
		for end < len(rows) && !keep[end] {
			end++
		}
		if end-i <= shortRun {
			out = append(out, rows[i:end]...)
		} else {
			out = append(out, row{Mark: same, Skipped: end - i})
		}
		i = end
	}
	return out
}
