package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	chproto "github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// handler speaks the part of ClickHouse's HTTP interface that clickhouse-go and
// curl need.
type handler struct {
	version string
	run     func(ctx context.Context, req *request) (answer, error)
	alive   func(ctx context.Context) error
}

// alivePath is where the parent asks whether the engine lives. ClickHouse's
// /ping only says that the process does.
const alivePath = "/alive"

// answer is what a statement gave. Bytes is valid until Close.
type answer interface {
	Bytes() []byte
	Close()
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	asked := r.Method == http.MethodPost || r.URL.Query().Has("query")
	switch {
	case r.URL.Path == "/ping", r.URL.Path == "/" && r.Method == http.MethodGet && !asked:
		_, _ = io.WriteString(w, "Ok.\n")
	case r.URL.Path == alivePath && r.Method == http.MethodGet:
		if err := h.alive(r.Context()); err != nil {
			fail(w, err)
		}
	case r.URL.Path != "/":
		http.Error(w, "there is only /, /ping and "+alivePath+" here", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		http.Error(w, "use GET for reading, POST for everything", http.StatusMethodNotAllowed)
	default:
		h.query(w, r)
	}
}

func (h *handler) query(w http.ResponseWriter, r *http.Request) {
	req, err := readRequest(r)
	if err != nil {
		fail(w, err)
		return
	}
	if r.Method == http.MethodGet && req.lane == writing {
		fail(w, &Exception{Code: 164, Text: "Code: 164. DB::Exception: A GET request cannot change anything: use POST. (READONLY)"})
		return
	}
	if isHello(req.text) {
		h.hello(w, r)
		return
	}
	got, err := h.run(r.Context(), req)
	if err != nil {
		fail(w, err)
		return
	}
	defer got.Close()
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	w.Header().Set("X-ClickHouse-Query-Id", req.id)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(got.Bytes())))
	_, _ = w.Write(got.Bytes())
}

// isHello recognises the first thing clickhouse-go asks on a connection.
func isHello(sql string) bool {
	return sql == "SELECT displayName(), version(), revision(), timezone()"
}

// hello answers it as a Native block of the revision the client asked for, and
// says that this end is of revision 0: from then on the client reads and writes
// plain Native, as the engine does.
func (h *handler) hello(w http.ResponseWriter, r *http.Request) {
	revision, err := strconv.ParseUint(r.URL.Query().Get("client_protocol_version"), 10, 32)
	if err != nil {
		revision = 0
	}
	block := chproto.NewBlock()
	for _, c := range []struct {
		name string
		kind column.Type
	}{
		{"displayName()", "String"}, {"version()", "String"}, {"revision()", "UInt32"}, {"timezone()", "String"},
	} {
		if err := block.AddColumn(c.name, c.kind); err != nil {
			fail(w, err)
			return
		}
	}
	var out proto.Buffer
	if err := errors.Join(block.Append("parallax", h.version, uint32(0), "UTC"), block.Encode(&out, revision)); err != nil {
		fail(w, err)
		return
	}
	_, _ = w.Write(out.Buf)
}

// fail answers the way ClickHouse does: its text, and its code in a header.
func fail(w http.ResponseWriter, err error) {
	var ex *Exception
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &ex):
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(ex.Code))
	case errors.Is(err, errBadRequest):
		status = http.StatusBadRequest
	}
	http.Error(w, strings.TrimSpace(err.Error()), status)
}
