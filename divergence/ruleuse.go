package divergence

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.yaml.in/yaml/v3"

	"parallax/compare"
)

// RuleSet is one set of rules that was in force.
type RuleSet struct {
	Version string    `json:"version"` // as verdicts and reports name it
	At      time.Time `json:"first_seen"`
	By      string    `json:"by"`   // what put it in force: start, reload, or who saved rules
	Text    string    `json:"text"` // as configuration has it, in YAML
}

// Rules reads the text again; what cannot be read, of another release, is left
// out.
func (s RuleSet) Rules() []compare.Rule {
	var list []compare.Rule
	_ = yaml.Unmarshal([]byte(s.Text), &list) // what it could read is in the list
	return list
}

// AppendRuleSet notes that a set of rules is in force for a service. It may be
// called again for one that is known.
func (s *Store) AppendRuleSet(ctx context.Context, service string, set RuleSet) error {
	at := set.At.UTC().Truncate(time.Microsecond)
	token := fmt.Sprintf("%d %s %s", at.UnixMicro(), service, set.Version)
	if err := s.insert(ctx, "rule_sets", token, 1, func(b driver.Batch, _ int) error {
		return b.Append(at, service, set.Version, set.By, set.Text)
	}); err != nil {
		return fmt.Errorf("cannot store the set of rules %s: %w", set.Version, err)
	}
	return nil
}

// maxRuleSets is how many sets of rules are listed, the latest ones.
const maxRuleSets = 500

// RuleSets returns the sets of rules that were in force for a service, the latest
// first: each version once, as it was first seen, up to 500 of them. The texts are
// left out; [Store.RuleSet] has them.
func (s *Store) RuleSets(ctx context.Context, service string) ([]RuleSet, error) {
	return s.ruleSets(ctx, forService(service), "''")
}

// RuleSet returns one set of rules, or [ErrNotFound].
func (s *Store) RuleSet(ctx context.Context, service, version string) (RuleSet, error) {
	list, err := s.ruleSets(ctx, forService(service).equal("version", version), "argMin(text, at)")
	if err != nil {
		return RuleSet{}, err
	}
	if version == "" || len(list) == 0 {
		return RuleSet{}, fmt.Errorf("rules %.40q: %w", version, ErrNotFound)
	}
	return list[0], nil
}

func (s *Store) ruleSets(ctx context.Context, cond *where, text string) ([]RuleSet, error) {
	var out []RuleSet
	err := s.each(ctx, fmt.Sprintf(`SELECT version, min(at) AS first, argMin(by, at), %s FROM rule_sets %s GROUP BY version ORDER BY first DESC, version LIMIT %d`,
		text, cond, maxRuleSets), cond.args, func(rows driver.Rows) error {
		var r RuleSet
		err := rows.Scan(&r.Version, &r.At, &r.By, &r.Text)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read sets of rules: %w", err)
	}
	return out, nil
}

// RuleCount is what one rule took away on one endpoint on one day.
type RuleCount struct {
	Rule        string    `json:"rule"` // [compare.Rule.Key]
	Endpoint    string    `json:"endpoint"`
	Day         string    `json:"day"` // UTC, such as 2026-11-21
	Exchanges   int64     `json:"exchanges"`
	Differences int64     `json:"differences"`
	Last        time.Time `json:"last"`    // when the latest of the exchanges was received
	Example     string    `json:"example"` // id of an exchange, one whose bodies are kept if there is any
}

// maxRuleCounts bounds how many counts are returned.
const maxRuleCounts = 10_000

// RuleCounts returns what rules took away in a window, rounded to whole days: by
// rule, endpoint and day, the latest first, up to 10 000 lines.
func (s *Store) RuleCounts(ctx context.Context, service string, w Window) ([]RuleCount, error) {
	cond := forService(service)
	if !w.From.IsZero() {
		cond.and("day >= {from:String}", "from", w.From.UTC().Format(time.DateOnly))
	}
	if !w.To.IsZero() {
		cond.and("day <= {to:String}", "to", w.To.UTC().Format(time.DateOnly))
	}
	var out []RuleCount
	err := s.each(ctx, fmt.Sprintf(`SELECT rule, endpoint, toString(day) AS d, sum(exchanges), sum(differences), max(last), max(example), max(kept)
FROM rule_uses %s GROUP BY rule, endpoint, day ORDER BY d DESC, rule, endpoint LIMIT %d`, cond, maxRuleCounts), cond.args, func(rows driver.Rows) error {
		var (
			c                      RuleCount
			exchanges, differences uint64
			kept                   string
		)
		err := rows.Scan(&c.Rule, &c.Endpoint, &c.Day, &exchanges, &differences, &c.Last, &c.Example, &kept)
		c.Exchanges, c.Differences = int64(exchanges), int64(differences)
		if kept != "" {
			c.Example = kept
		}
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what rules took away: %w", err)
	}
	return out, nil
}

// Chances returns what each of the rules had to do since it is in force without a
// break, by [compare.Rule.Key]: exchanges of its endpoints that came to a match or
// a divergence, and differences it took away.
func (s *Store) Chances(ctx context.Context, service string, rules []compare.Rule) (map[string]compare.Chance, error) {
	since, err := s.ruleAges(ctx, service)
	if err != nil {
		return nil, err
	}
	out := map[string]compare.Chance{}
	ages := map[time.Time][]compare.Rule{}
	for _, r := range rules {
		if at, known := since[r.Key()]; known {
			ages[at] = append(ages[at], r)
		}
	}
	for at, young := range ages {
		if err := s.chances(ctx, service, at, young, out); err != nil {
			return nil, fmt.Errorf("cannot read what rules had to do: %w", err)
		}
	}
	return out, nil
}

// maxRuleAges is how many sets of rules are gone back through to find how long a
// rule is in force.
const maxRuleAges = 32

// ruleAges returns since when the rules in force are, by key, going back through
// the latest sets.
func (s *Store) ruleAges(ctx context.Context, service string) (map[string]time.Time, error) {
	cond := forService(service)
	var sets []RuleSet
	err := s.each(ctx, fmt.Sprintf(`SELECT version, at, text FROM rule_sets %s ORDER BY at DESC LIMIT %d`, cond, maxRuleAges), cond.args,
		func(rows driver.Rows) error {
			var r RuleSet
			err := rows.Scan(&r.Version, &r.At, &r.Text)
			sets = append(sets, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("cannot read sets of rules: %w", err)
	}
	since, open := map[string]time.Time{}, map[string]bool{}
	for n, set := range sets {
		still := map[string]bool{}
		for _, r := range set.Rules() {
			if key := r.Key(); n == 0 || open[key] {
				since[key], still[key] = set.At, true
			}
		}
		open = still
	}
	return since, nil
}

// chances adds what rules that are in force since one moment had to do.
func (s *Store) chances(ctx context.Context, service string, since time.Time, rules []compare.Rule, out map[string]compare.Chance) error {
	cond := forService(service).and("at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", "since", since.UnixMilli())
	err := s.each(ctx, `SELECT endpoint, sum(n) FROM ticks FINAL `+cond.String()+` GROUP BY endpoint`, cond.args, func(rows driver.Rows) error {
		var (
			endpoint string
			n        uint64
		)
		if err := rows.Scan(&endpoint, &n); err != nil {
			return err
		}
		for _, r := range rules {
			if r.AppliesTo(endpoint) {
				c := out[r.Key()]
				c.Compared += int64(n)
				out[r.Key()] = c
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var keys []string
	for _, r := range rules {
		keys = append(keys, r.Key())
	}
	cond = forService(service).and("has({rules:Array(String)}, rule) AND day >= {day:String}", "rules", keys, "day", since.UTC().Format(time.DateOnly))
	return s.each(ctx, `SELECT rule, sum(differences) FROM rule_uses `+cond.String()+` GROUP BY rule`, cond.args, func(rows driver.Rows) error {
		var (
			key string
			n   uint64
		)
		err := rows.Scan(&key, &n)
		c := out[key]
		c.Differences += int64(n)
		out[key] = c
		return err
	})
}

// use is a row of the table rule_uses.
type use struct {
	useKey
	exchanges, differences uint64
	last                   time.Time
	example, kept          string
}

type useKey struct {
	day                     int64 // Unix days
	service, endpoint, rule string
}

// useRows adds up what rules took away in the exchanges of a batch, in the order of
// first use.
func useRows(records []*record) []*use {
	var out []*use
	byKey := map[useKey]*use{}
	for _, r := range records {
		f := r.finds()
		for _, u := range f.uses {
			key := useKey{r.received / (24 * 60 * 60 * 1000), r.service, r.endpoint, u.Key}
			row := byKey[key]
			if row == nil {
				row = &use{useKey: key}
				byKey[key] = row
				out = append(out, row)
			}
			row.exchanges++
			row.differences += uint64(u.N)
			if at := r.at(); at.After(row.last) {
				row.last = at
			}
			id := r.id.String()
			if row.example = max(row.example, id); f.exchange != nil {
				row.kept = max(row.kept, id)
			}
		}
	}
	return out
}

func (u *use) append(b driver.Batch) error {
	return b.Append(time.Unix(u.day*24*60*60, 0).UTC(), u.service, u.endpoint, u.rule, u.exchanges, u.differences, u.last, u.example, u.kept)
}
