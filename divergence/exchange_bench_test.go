package divergence

import (
	"context"
	"strings"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"parallax"
)

// blockCells fills a column of a block as a batch would.
type blockCells struct{ chcolumn.Interface }

func (c blockCells) Append(list any) error {
	_, err := c.Interface.Append(list)
	return err
}

// encoder stands for the store: it encodes the rows of comparisons as the client
// does, and sends them nowhere.
type encoder struct {
	standIn
	types map[string]string // of columns
	bytes int
}

func (e *encoder) write(ctx context.Context, b *batch, step int) error {
	if step != writeComparisons {
		return nil
	}
	list, names := filled(comparisonColumns(b))
	block := proto.Block{ServerContext: &chcolumn.ServerContext{Timezone: time.UTC}}
	for _, name := range names {
		if err := block.AddColumn(name, chcolumn.Type(e.types[name])); err != nil {
			return err
		}
	}
	if err := fillAll(list, func(i int) cells { return blockCells{block.Columns[i]} }); err != nil {
		return err
	}
	var out chproto.Buffer
	err := block.Encode(&out, 0)
	e.bytes = len(out.Buf)
	return err
}

// BenchmarkExchange is what a matching exchange of 1 KB of JSON costs this process
// from the queue to its encoded row: comparing, the ledger, the batch. The engine's
// part is BenchmarkWrite.
func BenchmarkExchange(b *testing.B) {
	const batchRows = 5000
	s := openShared(b)
	columns, err := s.shapes.all(b.Context(), s, "comparisons")
	if err != nil || len(columns) == 0 {
		b.Fatal(err)
	}
	e := &encoder{types: map[string]string{}}
	for _, c := range columns {
		e.types[c.Name] = c.Type
	}
	r := newRig(b, "bench", nil, e, Limits{BatchRows: batchRows, BufferRows: 2 * batchRows})
	judge := newJudge(b)
	w := NewWorker(WorkerConfig{
		Source: &listSource{}, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet,
		Judge: func(string) *Judge { return judge },
	})
	text := `{"id":1,"state":"open","text":"` + strings.Repeat("x", 990) + `"}`
	list := make([]*parallax.Exchange, batchRows)
	for i := range list {
		x := pair(i, "GET /items/{id}", 200, 200)
		for _, call := range x.Legs[:2] {
			call.Response.Body = parallax.Body{Bytes: []byte(text), Size: int64(len(text))}
		}
		list[i] = x
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += batchRows {
		b.StopTimer()
		part := list[:min(batchRows, b.N-n)]
		for _, x := range part {
			r.ledger.Enter(x.Stamp())
			r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
		}
		b.StartTimer()
		for at := 0; at < len(part); at += receiveMax {
			w.all(b.Context(), part[at:min(at+receiveMax, len(part))])
		}
		if _, err := r.flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if sum := r.ledger.Totals("shop"); sum.Missing() != 0 || sum.Compared["match"] != int64(b.N) {
		b.Fatalf("%+v", sum)
	}
	b.ReportMetric(float64(e.bytes)/float64(min(b.N, batchRows)), "bytes/row")
}
