package newshop

import "sync"

// Defect is something the new version does wrong, because it was asked to.
type Defect string

// The defects. What each does and where it shows is said in the shop package.
const (
	Rounding     Defect = "rounding"
	MissingAudit Defect = "missing-audit"
	WrongKey     Defect = "wrong-key"
	LostUpdate   Defect = "lost-update"
	Slow         Defect = "slow"
	ChangedField Defect = "changed-field"
	DoubleMail   Defect = "double-mail"
)

// Defects are those that are switched on.
type Defects map[Defect]bool

// vat is the tax of 19 % that an amount contains. It is rounded to the nearest
// cent: 119 is odd, so there is no half.
func (d Defects) vat(cents int64) int64 {
	if d[Rounding] {
		return cents * 19 / 119
	}
	return (cents*19 + 59) / 119
}

func (d Defects) currency() string {
	if d[ChangedField] {
		return "eur"
	}
	return "EUR"
}

// mails is how many mails a payment is worth.
func (d Defects) mails() int {
	if d[DoubleMail] {
		return 2
	}
	return 1
}

// bonuses is what makes the lost update: what accounts had when they logged in,
// taken for what they have.
type bonuses struct {
	mu   sync.Mutex
	seen map[int64]int64
}

// bonusesKept caps what is remembered; after that it is all forgotten.
const bonusesKept = 10_000

func (b *bonuses) remember(account, bonus int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil || len(b.seen) >= bonusesKept {
		b.seen = map[int64]int64{}
	}
	b.seen[account] = bonus
}

func (b *bonuses) of(account int64) (bonus int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bonus, ok = b.seen[account]
	return bonus, ok
}
