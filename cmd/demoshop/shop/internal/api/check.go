package api

import (
	"slices"
	"strings"
)

// What an order and its texts may be.
const (
	maxItems    = 20
	maxQuantity = 99
	maxNote     = 8 << 10 // bytes
	maxText     = 200     // bytes of any other text
	maxTags     = 10
)

func (r Registration) check() error {
	switch {
	case !text(r.Email, 3, maxText) || !strings.Contains(r.Email, "@"):
		return bad("the email is none")
	case !text(r.Name, 1, maxText):
		return bad("the name is empty or too long")
	case !text(r.Password, 8, maxText):
		return bad("the password has fewer than 8 characters, or too many")
	}
	return nil
}

func (c Credentials) check() error {
	if !text(c.Email, 1, maxText) || !text(c.Password, 1, maxText) {
		return WrongLogin
	}
	return nil
}

func (o NewOrder) check() error {
	if len(o.Items) == 0 {
		return bad("the order has no items")
	}
	if len(o.Tags) > maxTags || slices.ContainsFunc(o.Tags, func(tag string) bool { return !text(tag, 1, maxText) }) {
		return bad("there are too many tags, or one is empty or too long")
	}
	return firstFault(checkLines(o.Items), checkNote(o.Note), o.Address.check())
}

func (c Change) check() error {
	faults := []error{checkLines(c.Items)}
	if c.Note != nil {
		faults = append(faults, checkNote(*c.Note))
	}
	if c.Address != nil {
		faults = append(faults, c.Address.check())
	}
	return firstFault(faults...)
}

func (p Payment) check() error {
	if p.Method != "card" && p.Method != "invoice" {
		return bad("the method is neither card nor invoice")
	}
	return nil
}

func (a Address) check() error {
	for _, each := range []string{a.Name, a.Street, a.Postcode, a.City} {
		if !text(each, 1, maxText) {
			return bad("a line of the address is empty or too long")
		}
	}
	if !text(a.Country, 2, 2) {
		return bad("the country is no code of two letters")
	}
	return nil
}

func checkLines(lines []Line) error {
	if len(lines) > maxItems {
		return bad("there are too many items")
	}
	seen := map[string]bool{}
	for _, l := range lines {
		switch {
		case !text(l.SKU, 1, maxText):
			return NoProduct
		case l.Quantity < 1 || l.Quantity > maxQuantity:
			return bad("a quantity is not from 1 to 99")
		case seen[l.SKU]:
			return bad("two items are of one product")
		}
		seen[l.SKU] = true
	}
	return nil
}

func checkNote(note string) error {
	if !text(note, 0, maxNote) {
		return bad("the note is too long")
	}
	return nil
}

// text tells whether a text may be kept: PostgreSQL's texts have no NUL.
func text(s string, shortest, longest int) bool {
	return len(s) >= shortest && len(s) <= longest && !strings.ContainsRune(s, 0)
}

func firstFault(faults ...error) error {
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}
