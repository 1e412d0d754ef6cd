package compare

import "slices"

// maxAlignCells bounds the table of the longest common subsequence: the product
// of what is left of both sequences once their equal ends are off.
const maxAlignCells = 1 << 20

// smallTable is how many cells are not worth making smaller.
const smallTable = 1 << 10

// align joins a longest common subsequence of two sequences of hashes. Where two
// choices are as good, the element with the smaller hash is left out, so that the
// result does not depend on which side is which. If the table would be too large
// or take too many steps, it joins only equal ends and elements that stand once on
// each side, and returns false.
func align(p, c []uint64, count *meter, join func(i, j int)) bool {
	count.step(len(p) + len(c))
	return alignEnds(p, c, join, func(p, c []uint64, join func(i, j int)) bool {
		if len(p)*len(c) <= smallTable {
			return alignInner(p, c, count, join)
		}
		// What one side alone has is joined with nothing: without it the table is smaller,
		// and mostly empty where elements have changed (BenchmarkCompare/100KB/fifty).
		p, atP, c, atC := shared(p, c)
		return alignEnds(p, c, func(i, j int) { join(atP[i], atC[j]) }, func(p, c []uint64, join func(i, j int)) bool {
			return alignInner(p, c, count, join)
		})
	})
}

// alignEnds joins equal ends and leaves the rest to inner, if there is any on both
// sides.
func alignEnds(p, c []uint64, join func(i, j int), inner func(p, c []uint64, join func(i, j int)) bool) bool {
	from := 0
	for ; from < len(p) && from < len(c) && p[from] == c[from]; from++ {
		join(from, from)
	}
	for len(p) > from && len(c) > from && p[len(p)-1] == c[len(c)-1] {
		p, c = p[:len(p)-1], c[:len(c)-1]
		join(len(p), len(c))
	}
	if p, c = p[from:], c[from:]; len(p) == 0 || len(c) == 0 {
		return true
	}
	return inner(p, c, func(i, j int) { join(from+i, from+j) })
}

// shared returns of both sequences what the other has too, and where it stood.
func shared(p, c []uint64) (inP []uint64, atP []int, inC []uint64, atC []int) {
	const onP, onC = 1, 2
	sides := make(map[uint64]uint8, len(p))
	for _, h := range p {
		sides[h] |= onP
	}
	for j, h := range c {
		if sides[h] != 0 {
			sides[h] |= onC
			inC, atC = append(inC, h), append(atC, j)
		}
	}
	for i, h := range p {
		if sides[h] == onP|onC {
			inP, atP = append(inP, h), append(atP, i)
		}
	}
	return inP, atP, inC, atC
}

// alignInner joins by the table, or what stands once on each side.
func alignInner(p, c []uint64, count *meter, join func(i, j int)) bool {
	if len(p) > maxAlignCells/len(c) || !count.mayAlign(len(p)*len(c)/cellsPerStep) {
		alignUnique(p, c, join)
		return false
	}
	count.step(len(p) * len(c) / cellsPerStep)
	alignTable(p, c, join)
	return true
}

// alignTable joins a longest common subsequence by the usual table.
func alignTable(p, c []uint64, join func(i, j int)) {
	width := len(c) + 1
	table := make([]uint32, (len(p)+1)*width) // length for what is behind i and j
	for i := len(p) - 1; i >= 0; i-- {
		for j := len(c) - 1; j >= 0; j-- {
			if p[i] == c[j] {
				table[i*width+j] = table[(i+1)*width+j+1] + 1
			} else {
				table[i*width+j] = max(table[(i+1)*width+j], table[i*width+j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(p) && j < len(c); {
		down, right := table[(i+1)*width+j], table[i*width+j+1]
		switch {
		case p[i] == c[j]:
			join(i, j)
			i, j = i+1, j+1
		case down > right || down == right && p[i] < c[j]:
			i++
		default:
			j++
		}
	}
}

// onceOnEach maps each hash that stands exactly once on both sides to its places.
func onceOnEach(p, c []uint64) map[uint64][2]int {
	type seen struct{ i, j, onP, onC int }
	all := make(map[uint64]seen, len(p))
	for i, h := range p {
		s := all[h]
		s.i, s.onP = i, s.onP+1
		all[h] = s
	}
	for j, h := range c {
		if s, ok := all[h]; ok {
			s.j, s.onC = j, s.onC+1
			all[h] = s
		}
	}
	out := map[uint64][2]int{}
	for h, s := range all {
		if s.onP == 1 && s.onC == 1 {
			out[h] = [2]int{s.i, s.j}
		}
	}
	return out
}

// alignUnique joins a longest increasing run of the elements that stand exactly
// once on each side. It takes n log n steps.
func alignUnique(p, c []uint64, join func(i, j int)) {
	once := onceOnEach(p, c)
	var ends []int // ends[k]: the i whose j ends the best run of length k+1
	target, before := make([]int, len(p)), make([]int, len(p))
	for i, h := range p {
		at, ok := once[h]
		if !ok {
			continue
		}
		target[i], before[i] = at[1], -1
		k, _ := slices.BinarySearchFunc(ends, at[1], func(end, j int) int { return target[end] - j })
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		} else {
			ends[k] = i
		}
	}
	if len(ends) == 0 {
		return
	}
	for i := ends[len(ends)-1]; i >= 0; i = before[i] {
		join(i, target[i])
	}
}
