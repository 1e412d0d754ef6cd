package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// pairing is one case: two documents and the JSON pointers of the places at
// which they differ.
type pairing struct {
	size               int // in bytes, roughly
	name               string
	primary, candidate []byte
	planted            []string
}

var sizes = []int{1 << 10, 10 << 10, 100 << 10, 1 << 20}

// pairings returns every case, smallest documents first.
func pairings() []pairing {
	var out []pairing
	for _, size := range sizes {
		document := orders(size)
		primary := compact(document, nil)
		plant := func(name string, differences int, write func(object) []byte) {
			other := orders(size)
			planted := change(other, differences)
			out = append(out, pairing{size, name, primary, write(other), planted})
		}
		same := func(o object) []byte { return compact(o, nil) }
		plant("equal", 0, same)
		plant("1 difference", 1, same)
		if size > sizes[0] { // 1 KB holds too few orders for fifty
			plant("50 differences", 50, same)
		}
		plant("written anew", 0, anew)
		plant("written anew, 1 difference", 1, anew)
	}
	return out
}

// member is a name and its value: a text, a whole number, nil, a list or an object.
type member struct {
	name  string
	value any
}

type (
	object []member
	list   []any
)

// orders makes a document of about size bytes, the same one every time.
func orders(size int) object {
	var items list
	total := 0
	for i := 0; total < size-40 || len(items) == 0; i++ {
		item := object{
			{"id", 4100000 + i},
			{"sku", fmt.Sprintf("SKU-%05d", i*37%99991)},
			{"name", fmt.Sprintf("Article number %d, \"large\"", i)},
			{"price", object{{"amount", 995 + i%9000}, {"currency", "EUR"}}},
			{"tags", list{"new", "sale", fmt.Sprintf("shelf-%d", i%40)}},
			{"stock", object{{"here", i % 7}, {"there", nil}}},
			{"available", i%3 > 0},
		}
		items = append(items, item)
		total += len(compact(item, nil)) + 1
	}
	return object{{"items", items}, {"count", len(items)}}
}

// change plants differences evenly and returns where: each is another amount of
// one item.
func change(document object, differences int) []string {
	items := document[0].value.(list)
	var planted []string
	for k := range differences {
		i := (2*k + 1) * len(items) / (2 * differences)
		price := items[i].(object)[3].value.(object)
		if strings.HasSuffix(strconv.Itoa(price[0].value.(int)), "77") {
			panic("planted twice")
		}
		price[0].value = price[0].value.(int)*100 + 77
		planted = append(planted, fmt.Sprintf("/items/%d/price/amount", i))
	}
	return planted
}

// compact writes a value without blanks, its members in their order.
func compact(value any, to []byte) []byte {
	return write(value, to, "", func(object) []int { return nil })
}

// anew writes a value with blanks, the members of each object in an order of
// their own.
func anew(document object) []byte {
	random := rand.New(rand.NewPCG(11, 2026))
	return write(document, nil, " ", func(o object) []int { return random.Perm(len(o)) })
}

// write appends a value as JSON: gap stands behind colons and commas, order says
// in which order the members of an object come; nil is as they are.
func write(value any, to []byte, gap string, order func(object) []int) []byte {
	switch v := value.(type) {
	case object:
		to = append(to, '{')
		places := order(v)
		for i := range v {
			m := v[i]
			if places != nil {
				m = v[places[i]]
			}
			if i > 0 {
				to = append(append(to, ','), gap...)
			}
			to = append(append(strconv.AppendQuote(to, m.name), ':'), gap...)
			to = write(m.value, to, gap, order)
		}
		return append(to, '}')
	case list:
		to = append(to, '[')
		for i, element := range v {
			if i > 0 {
				to = append(append(to, ','), gap...)
			}
			to = write(element, to, gap, order)
		}
		return append(to, ']')
	case string:
		return strconv.AppendQuote(to, v)
	case int:
		return strconv.AppendInt(to, int64(v), 10)
	case bool:
		return strconv.AppendBool(to, v)
	}
	return append(to, "null"...)
}
