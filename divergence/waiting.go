package divergence

import (
	"cmp"
	"slices"
	"time"

	"parallax"
	"parallax/compare"
)

// waiting holds records in the order they came, one behind the other in pages of
// equal size: so many of them are a few objects to the collector, and room is
// made and given back as they come and go.
type waiting struct {
	pages [][]record // all but the last are full
	n     int
}

// pageRows is how many records stand on a page, of about 27 KB.
const pageRows = 256

// add puts a record behind the others.
func (w *waiting) add(r record) {
	last := len(w.pages) - 1
	if last < 0 || len(w.pages[last]) == cap(w.pages[last]) {
		w.pages = append(w.pages, make([]record, 0, pageRows))
		last++
	}
	w.pages[last] = append(w.pages[last], r)
	w.n++
}

// take removes records from the front, at most so many of at most so many bytes
// together, but at least one if there is any. It returns them with their bytes.
// They share no page with those that stay, so that nothing keeps them in memory
// but whoever took them.
func (w *waiting) take(rows int, most int64) (list []*record, bytes int64) {
	list = make([]*record, 0, min(rows, w.n))
	done := 0 // pages
	for ; done < len(w.pages); done++ {
		page := w.pages[done]
		i := 0
		for ; i < len(page) && len(list) < rows; i++ {
			size := page[i].bytes()
			if len(list) > 0 && bytes+size > most {
				break
			}
			list, bytes = append(list, &page[i]), bytes+size
		}
		if i < len(page) {
			w.pages[done] = slices.Clip(slices.Clone(page[i:]))
			break
		}
	}
	w.pages = slices.Delete(w.pages, 0, done)
	w.n -= len(list)
	return list, bytes
}

// ending is a number of exchanges of one batch that are filed alike, were
// received in one minute and came to the same.
type ending struct {
	endingKey
	n    int64
	last int // which record of the batch is the last of them
}

type endingKey struct {
	filing  *filing
	minute  int64 // Unix minutes
	outcome compare.Outcome
}

// endingsOf adds up the records of a batch. The endings stand in the order of
// their last records.
func endingsOf(records []*record) []ending {
	var list []ending
	index := map[endingKey]int{}
	for i, r := range records {
		key := endingKey{r.filing, r.at().Unix() / 60, r.outcome}
		at, ok := index[key]
		if !ok {
			at = len(list)
			index[key] = at
			list = append(list, ending{endingKey: key})
		}
		list[at].n++
		list[at].last = i
	}
	slices.SortFunc(list, func(a, b ending) int { return cmp.Compare(a.last, b.last) })
	return list
}

// stamp is what the ledger files them under.
func (e *ending) stamp() parallax.Stamp {
	return parallax.Stamp{Service: e.filing.service, Endpoint: e.filing.endpoint, Received: time.Unix(e.minute*60, 0)}
}
