package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Formats are the names of the formats that files may have.
var Formats = []string{"har", "jsonl", "log"}

// maxLine bounds one line of a file, in bytes. A longer one is malformed.
const maxLine = 64 << 20

// Open opens a recording. An empty format is told from the file's name: .har,
// .jsonl or .ndjson, .log. The error says what to do.
func Open(file, format string) (Source, error) {
	if format == "" {
		format = formatOf(file)
	}
	var parse func(where string, line []byte) (Request, error)
	switch format {
	case "har":
		return openHAR(file)
	case "jsonl":
		parse = parseJSONLine
	case "log":
		parse = parseAccessLog
	default:
		return nil, fmt.Errorf("cannot tell the format of %s; write --format %s", file, strings.Join(Formats, ", "))
	}
	f, size, err := open(file)
	if err != nil {
		return nil, err
	}
	return &lines{file: f, name: filepath.Base(file), size: size, in: bufio.NewReaderSize(f, 64<<10), parse: parse}, nil
}

func formatOf(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".har":
		return "har"
	case ".jsonl", ".ndjson":
		return "jsonl"
	case ".log":
		return "log"
	}
	return ""
}

func open(file string) (*os.File, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot open the recording: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder; name a file", file)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return f, 0, nil // a pipe, say
	}
	return f, info.Size(), nil
}

// lines is a recording with a request in each line. Empty lines are passed over.
type lines struct {
	file       *os.File
	name       string
	size, done int64
	line       int
	in         *bufio.Reader
	parse      func(where string, line []byte) (Request, error)
}

// Next implements [Source].
func (l *lines) Next() (Request, error) {
	for {
		text, tooLong, err := l.readLine()
		if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
			return Request{}, err
		}
		l.line++
		where := fmt.Sprintf("%s:%d", l.name, l.line)
		if tooLong {
			return Request{}, &Skip{Malformed, where, fmt.Errorf("the line has more than %d bytes", maxLine)}
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return l.parse(where, text)
		}
	}
}

// readLine reads a line, of which it keeps no more than maxLine bytes.
func (l *lines) readLine() (text []byte, tooLong bool, err error) {
	for {
		piece, err := l.in.ReadSlice('\n')
		l.done += int64(len(piece))
		if tooLong = tooLong || len(text)+len(piece) > maxLine; !tooLong {
			text = append(text, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, tooLong, err
		}
	}
}

// Progress implements [Source]. It counts bytes.
func (l *lines) Progress() (done, total int64) { return l.done, l.size }

// Close implements [Source].
func (l *lines) Close() error { return l.file.Close() }
