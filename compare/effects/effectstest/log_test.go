package effectstest_test

import (
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/effectstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogIsAReader(t *testing.T) {
	t.Parallel()
	effectstest.Conformance(t, func(*testing.T) effectstest.Database {
		log := effectstest.NewLog(time.Now)
		return effectstest.Database{
			Reader: log,
			Write: func(commit bool, tags []string, ids ...int) {
				tx := effects.Transaction{Tags: tags}
				for _, id := range ids {
					value := strconv.Itoa(id)
					key := parallax.Column{Name: "id", Type: parallax.NumberColumn, Value: &value}
					tx.Changes = append(tx.Changes, effects.Change{Table: "notes", Op: parallax.Insert, Key: []parallax.Column{key}, After: []parallax.Column{key, {Name: "note"}}})
				}
				if commit {
					log.Commit(tx)
				}
			},
			Cut: func() {
				log.Cut("the connection was cut")
				log.Mend()
			},
		}
	})
}
