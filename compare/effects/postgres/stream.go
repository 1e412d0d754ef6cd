package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"parallax/compare/effects"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// maxMessage bounds one message of the server, and so one row.
	maxMessage = 64 << 20
	// senderTimeout is how long the server waits for a sign of us; it asks for one
	// at half of it.
	senderTimeout = "60s"
	// silence is how long we wait for a sign of the server; we ask for one every
	// second.
	silence = time.Minute
	// writeTimeout bounds how long the server may take to receive a few bytes.
	writeTimeout = 10 * time.Second
)

// stream is a temporary replication slot that is read. The slot lives as long as
// its connection.
type stream struct {
	slot  string
	start effects.Position // what is committed later is read
	since time.Time        // when that was, or a little later
	pid   uint32           // of the server's process

	conn   net.Conn
	in     *pgproto3.Frontend
	out    sync.Mutex // a status is written by one at a time
	closed sync.Once
}

// createSlot makes the slot. It waits until the transactions that are open in the
// whole server have ended.
func (a *asker) createSlot(ctx context.Context, slot string, now func() time.Time) (*stream, error) {
	dial, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := connectReplication(dial, a.host, a.raw)
	if err != nil {
		return nil, err
	}
	results, err := conn.Exec(ctx, "CREATE_REPLICATION_SLOT "+quoted(slot)+" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT").ReadAll()
	s := &stream{slot: slot, since: now()}
	if err == nil {
		s.start, err = consistentPoint(results)
	}
	if err == nil {
		err = s.hijack(ctx, conn)
	}
	if err != nil {
		closePgConn(conn)
		return nil, err
	}
	return s, nil
}

func consistentPoint(results []*pgconn.Result) (effects.Position, error) {
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 2 {
		return 0, errors.New("the server answered the creation of a slot with something else")
	}
	return parseLSN(string(results[0].Rows[0][1]))
}

// hijack takes the connection out of the library's hands, whose reading starts a
// goroutine a message.
func (s *stream) hijack(ctx context.Context, conn *pgconn.PgConn) error {
	if err := conn.SyncConn(ctx); err != nil {
		return err
	}
	raw, err := conn.Hijack()
	if err != nil {
		return err
	}
	s.conn, s.in, s.pid = raw.Conn, raw.Frontend, raw.PID
	return nil
}

func closePgConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx) // what cannot be closed in good order is dropped
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// open asks for the stream.
func (s *stream) open(publication string) error {
	s.in.Send(&pgproto3.Query{String: fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names %s, messages 'true')",
		quoted(s.slot), literal(quoted(publication)))})
	s.conn.SetDeadline(time.Now().Add(connectTimeout))
	defer s.conn.SetDeadline(time.Time{})
	if err := s.in.Flush(); err != nil {
		return err
	}
	for {
		m, err := s.in.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		}
	}
}

// literal writes a text as an option of a replication command.
func literal(s string) string {
	out := make([]byte, 0, len(s)+2)
	out = append(out, '\'')
	for i := range len(s) {
		if s[i] == '\'' {
			out = append(out, '\'')
		}
		out = append(out, s[i])
	}
	return string(append(out, '\''))
}

// taker takes what a stream brings.
type taker interface {
	// change takes a message of pgoutput. It is valid until the call returns.
	change(message []byte) error
	// reached says that everything committed at or before a position was brought.
	reached(effects.Position)
}

// read hands over what comes until the connection ends.
func (s *stream) read(to taker) error {
	for {
		if s.in.ReadBufferLen() == 0 {
			s.conn.SetReadDeadline(time.Now().Add(silence))
		}
		m, err := s.in.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			if err := s.take(m.Data, to); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CopyDone, *pgproto3.CommandComplete:
			return errors.New("the server ended the stream")
		}
	}
}

const (
	dataHeader      = 1 + 8 + 8 + 8 // kind, position, end of the log, time
	keepaliveLength = 1 + 8 + 8 + 1 // kind, end of what was decoded, time, whether to answer
)

func (s *stream) take(data []byte, to taker) error {
	switch {
	case len(data) >= dataHeader && data[0] == 'w':
		return to.change(data[dataHeader:])
	case len(data) == keepaliveLength && data[0] == 'k':
		at := effects.Position(binary.BigEndian.Uint64(data[1:]))
		to.reached(at)
		if data[keepaliveLength-1] != 0 {
			return s.confirm(at, false)
		}
		return nil
	case len(data) > 0:
		return fmt.Errorf("%d bytes of the unknown kind %q", len(data), data[0])
	}
	return errShort
}

// confirm tells the server how far we are, so that it may forget what lies before;
// it may ask for an answer.
func (s *stream) confirm(at effects.Position, answer bool) error {
	const size = 1 + 8*4 + 1
	b := make([]byte, 0, 5+size)
	b = append(b, 'd', 0, 0, 0, 4+size, 'r')
	for range 3 { // written, flushed, applied
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-unixTo2000*1e6))
	if answer {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	s.out.Lock()
	defer s.out.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(b)
	return err
}

// close ends the connection, and with it the slot. It may be called while read
// waits, which then returns.
func (s *stream) close() {
	s.closed.Do(func() {
		s.out.Lock()
		defer s.out.Unlock()
		s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		s.conn.Write([]byte{'X', 0, 0, 0, 4}) // politeness: a broken connection ends the slot, too
		s.conn.Close()
	})
}
