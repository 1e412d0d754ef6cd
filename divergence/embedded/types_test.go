package embedded

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// everyType has one field for each kind of column that Parallax stores.
type everyType struct {
	ID       uuid.UUID         `ch:"id"`
	Name     string            `ch:"name"`
	At       time.Time         `ch:"at"`
	Second   time.Time         `ch:"second"`
	Labels   map[string]uint64 `ch:"labels"`
	List     []string          `ch:"list"`
	Sparse   []*string         `ch:"sparse"`
	Maybe    *float64          `ch:"maybe"`
	Big      uint64            `ch:"big"`
	Small    int8              `ch:"small"`
	Yes      bool              `ch:"yes"`
	Kind     string            `ch:"kind"`
	Hash     string            `ch:"hash"`
	Sum      uint64            `ch:"sum"`
	Bytes    []byte            `ch:"bytes"`
	Optional *string           `ch:"optional"`
}

func TestTypesPassBothWays(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	do(t, db, `CREATE OR REPLACE TABLE types (
		id UUID, name LowCardinality(String), at DateTime64(3, 'UTC'), second DateTime('UTC'),
		labels Map(String, UInt64), list Array(LowCardinality(String)), sparse Array(Nullable(String)),
		maybe Nullable(Float64), big UInt64, small Int8, yes Bool, kind Enum8('a' = 1, 'b' = 2),
		hash FixedString(4), sum SimpleAggregateFunction(sum, UInt64), bytes String,
		optional LowCardinality(Nullable(String))
	) ENGINE = MergeTree ORDER BY big`)
	half, text := 0.5, "text\x00\xff"
	at := time.Date(2026, 11, 22, 10, 11, 12, 345e6, time.UTC)
	want := []everyType{
		{
			ID: uuid.MustParse("01938a5e-7c1b-7000-8000-0123456789ab"), Name: "GET /orders/{id}", At: at, Second: at.Truncate(time.Second),
			Labels: map[string]uint64{"a": 1, "b": math.MaxUint64}, List: []string{"x", "", "x"}, Sparse: []*string{nil, &text},
			Maybe: &half, Big: 1, Small: -128, Yes: true, Kind: "b", Hash: "abcd", Sum: 7, Bytes: []byte{0, 1, 0xff}, Optional: &text,
		},
		{
			At: time.Unix(0, 0).UTC(), Second: time.Unix(0, 0).UTC(), Labels: map[string]uint64{}, List: []string{}, Sparse: []*string{},
			Big: math.MaxUint64, Kind: "a", Hash: "\x00\x00\x00\x00",
		},
	}
	batch, err := db.PrepareBatch(t.Context(), "INSERT INTO types")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Close() }()
	for i := range want {
		if err := batch.AppendStruct(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got []everyType
	if err := db.Select(t.Context(), &got, "SELECT * FROM types ORDER BY big"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAggregateStates(t *testing.T) {
	t.Parallel()
	db := open(t, sharedEngine(t))
	do(t, db, "DROP VIEW IF EXISTS timings_view")
	do(t, db, "CREATE OR REPLACE TABLE timings (service LowCardinality(String), seconds Float64) ENGINE = MergeTree ORDER BY service")
	do(t, db, `CREATE OR REPLACE TABLE timings_rollup (service LowCardinality(String), n SimpleAggregateFunction(sum, UInt64),
		q AggregateFunction(quantilesDD(0.01, 0.5, 0.99), Float64)) ENGINE = AggregatingMergeTree ORDER BY service`)
	do(t, db, `CREATE MATERIALIZED VIEW timings_view TO timings_rollup AS
		SELECT service, count() AS n, quantilesDDState(0.01, 0.5, 0.99)(seconds) AS q FROM timings GROUP BY service`)
	for range 2 {
		send(t, db, t.Context(), "INSERT INTO timings", 1000, func(i int) []any { return []any{"shop", float64(i + 1)} })
	}
	if n := number(t, db, "SELECT sum(n) FROM timings_rollup"); n != 2000 {
		t.Errorf("got %d in the rollup, want 2000", n)
	}
	var q []float64
	if err := db.QueryRow(t.Context(), "SELECT quantilesDDMerge(0.01, 0.5, 0.99)(q) FROM timings_rollup").Scan(&q); err != nil {
		t.Fatal(err)
	}
	if len(q) != 2 || math.Abs(q[0]-500) > 10 || math.Abs(q[1]-990) > 15 {
		t.Errorf("got quantiles %v, want about 500 and 990", q)
	}
}
