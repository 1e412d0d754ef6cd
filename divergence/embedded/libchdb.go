package embedded

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is libchdb, loaded into this process. Only the child loads it.
type library struct {
	connect func(argc int32, argv **byte) *uintptr
	hangUp  func(conn *uintptr)
	query   func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr,
		names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, params uintptr) uintptr
	signals func(enabled bool)

	resultError  func(result uintptr) string
	resultBuffer func(result uintptr) *byte
	resultLength func(result uintptr) uintptr
	destroy      func(result uintptr)
}

// openLibrary loads libchdb from path. Signals stay with Go's runtime.
func openLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("cannot load libchdb %q: %w", path, err)
	}
	lib := new(library)
	for _, f := range []struct {
		name string
		to   any
	}{
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.hangUp},
		{"chdb_query_with_params_n", &lib.query},
		{"chdb_set_signal_handlers_enabled", &lib.signals},
		{"chdb_result_error", &lib.resultError},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_destroy_query_result", &lib.destroy},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("libchdb %q has no %s, version %s is needed: %w", path, f.name, Version, err)
		}
		purego.RegisterFunc(f.to, symbol)
	}
	lib.signals(false)
	return lib, nil
}

// conn is one session with the engine: one statement at a time.
type conn struct {
	lib    *library
	handle *uintptr
}

// dial opens a session. The first one starts the engine, closing the last one
// stops it; all are to be given the same arguments.
func (l *library) dial(args []string) (*conn, error) {
	argv := make([]*byte, 0, len(args)+1)
	for _, a := range args {
		argv = append(argv, unsafe.SliceData(append([]byte(a), 0)))
	}
	handle := l.connect(int32(len(args)), unsafe.SliceData(append(argv, nil)))
	runtime.KeepAlive(argv)
	if handle == nil {
		return nil, errors.New("the engine does not start; what it wrote says why")
	}
	return &conn{lib: l, handle: handle}, nil
}

func (c *conn) close() { c.lib.hangUp(c.handle) }

// query runs one statement with values for its {name:Type} placeholders, and
// gives the answer in the given format. A failure is an *Exception.
func (c *conn) query(sql, format string, params []setting) (*result, error) {
	var (
		names, values       []*byte
		nameLens, valueLens []uintptr
	)
	for _, p := range params {
		names, nameLens = append(names, unsafe.StringData(p.name)), append(nameLens, uintptr(len(p.name)))
		// An empty value's pointer would be nil.
		values, valueLens = append(values, unsafe.StringData(p.value+"\x00")), append(valueLens, uintptr(len(p.value)))
	}
	r := &result{lib: c.lib}
	r.handle = c.lib.query(*c.handle,
		unsafe.StringData(sql), uintptr(len(sql)), unsafe.StringData(format), uintptr(len(format)),
		unsafe.SliceData(names), unsafe.SliceData(nameLens),
		unsafe.SliceData(values), unsafe.SliceData(valueLens), uintptr(len(params)))
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	runtime.KeepAlive(params)
	runtime.KeepAlive(values)
	if r.handle == 0 {
		return nil, &Exception{Text: "the engine gave no answer"}
	}
	if text := c.lib.resultError(r.handle); text != "" {
		r.Close()
		return nil, newException(text)
	}
	return r, nil
}

// result is an answer in the engine's memory.
type result struct {
	lib    *library
	handle uintptr
}

// Bytes returns the answer. It is valid until Close.
func (r *result) Bytes() []byte {
	size := r.lib.resultLength(r.handle)
	if size == 0 {
		return nil
	}
	return unsafe.Slice(r.lib.resultBuffer(r.handle), size)
}

// Close gives the memory back.
func (r *result) Close() { r.lib.destroy(r.handle) }

// Exception is a failure as ClickHouse words it. Code is ClickHouse's error
// code, 0 if the text names none.
type Exception struct {
	Code int
	Text string
}

func (e *Exception) Error() string { return e.Text }

var exceptionStart = regexp.MustCompile(`^Code: (\d+)\. DB::Exception: `)

func newException(text string) *Exception {
	e := &Exception{Text: text}
	if m := exceptionStart.FindStringSubmatch(text); m != nil {
		e.Code, _ = strconv.Atoi(m[1])
		// An error of an insert comes wrapped in itself.
		if rest := text[len(m[0]):]; strings.HasPrefix(rest, m[0]) {
			e.Text = rest
		}
	}
	return e
}

// quoteName returns s as a quoted ClickHouse identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
