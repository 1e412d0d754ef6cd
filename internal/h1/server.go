package h1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers HTTP/1.1 and HTTP/1.0 on listeners. Its fields are set before
// the first Serve and not changed afterwards; a zero field means the default.
type Server struct {
	// Handler answers one request, in the goroutine of its connection. When it
	// returns without having ended the answer, an answer whose length was not
	// declared ends, and one that is shorter than declared is aborted.
	Handler func(*Request, *Writer)
	// HandOver gets a connection on which HTTP/2 is spoken, by ALPN or, in the
	// clear, by its preface, with nothing of it consumed. It returns when it is done with the
	// connection. Nil: such a connection is refused with 505.
	HandOver func(net.Conn)
	// Refused hears of every request that was answered without the handler. It
	// may be nil and must not block.
	Refused func(*Refusal)
	// Log hears of handlers that panic and of listeners that fail for a while.
	// Nil means slog.Default().
	Log *slog.Logger

	// NoDate leaves an answer without a Date field as it is. RFC 9110 section 6.6.1
	// wants whoever passes such an answer on to add one.
	NoDate bool

	MaxHead   int // bytes of a request head; 64 KiB
	MaxFields int // header lines, and trailer lines; 200
	MaxConns  int // connections at a time, more wait to be accepted; no bound

	// Timeouts is asked whenever a limit begins, by many goroutines, so that other
	// limits may hold from then on. Nil means the defaults.
	Timeouts func() Timeouts
	// IdleGrace is how long Shutdown leaves idle connections open, so that a
	// request that is already on its way is answered, with Connection: close.
	// Zero means they are closed at once.
	IdleGrace time.Duration

	once    sync.Once
	mu      sync.Mutex // orders Serve before Shutdown, or after
	guard   *guard
	slots   chan struct{}
	closing atomic.Bool
	woken   atomic.Bool    // idle connections were told to close
	conns   sync.WaitGroup // and calls of Serve
	date    date
}

// Timeouts are what a server lets a caller take its time for. A zero field means
// the default. Limits are looked at every quarter of a second, and more often where
// the first that hold are below a second.
type Timeouts struct {
	Head  time.Duration // from the first byte of a head to its end, for a first one to begin, and for a TLS handshake; 10 s
	Idle  time.Duration // between requests; 2 min
	Body  time.Duration // for a caller to send the next bytes of a body; 1 min
	Write time.Duration // for a caller to take what one write gives it; 1 min
}

func (s *Server) headTimeout() time.Duration  { return or(s.Timeouts().Head, 10*time.Second) }
func (s *Server) idleTimeout() time.Duration  { return or(s.Timeouts().Idle, 2*time.Minute) }
func (s *Server) bodyTimeout() time.Duration  { return or(s.Timeouts().Body, time.Minute) }
func (s *Server) writeTimeout() time.Duration { return or(s.Timeouts().Write, time.Minute) }

// Longest wait between two looks at time limits.
const serverTick = 250 * time.Millisecond

func (s *Server) prepare() {
	s.once.Do(func() {
		s.MaxHead = or(s.MaxHead, 64<<10)
		s.MaxFields = or(s.MaxFields, 200)
		if s.Timeouts == nil {
			s.Timeouts = func() Timeouts { return Timeouts{} }
		}
		s.guard = newGuard(tickFor(serverTick, s.headTimeout(), s.idleTimeout(), s.bodyTimeout(), s.writeTimeout()), s.date.refresh)
		if s.MaxConns > 0 {
			s.slots = make(chan struct{}, s.MaxConns)
		}
		if s.Log == nil {
			s.Log = slog.Default()
		}
	})
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// tickFor returns a tick that is short beside every limit.
func tickFor(most time.Duration, limits ...time.Duration) time.Duration {
	for _, l := range limits {
		if l > 0 {
			most = min(most, max(l/4, time.Millisecond))
		}
	}
	return most
}

// Serve accepts connections until ctx ends or Shutdown is called, which both
// close the listener and make it return nil, or until the listener fails. The
// connections live on; Shutdown ends them. Serve may be called for several
// listeners.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.prepare()
	if !s.open() {
		return listener.Close()
	}
	defer s.conns.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	watch := &listening{close: func() {
		cancel()
		listener.Close()
	}}
	s.guard.add(watch)
	defer s.guard.remove(watch)
	if s.closing.Load() {
		watch.close()
	}
	for {
		if !s.slot(ctx) {
			return nil // the listener is closed already
		}
		conn, err := s.accept(ctx, listener)
		if err != nil {
			s.free()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cannot accept connections on %s: %w", listener.Addr(), err)
		}
		s.start(conn)
	}
}

// open counts a Serve, unless Shutdown was called.
func (s *Server) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns.Add(1)
	return true
}

// listening makes a Serve end.
type listening struct{ close func() }

func (*listening) check(int64) {}

// accept outlasts failures that pass, such as being out of descriptors.
func (s *Server) accept(ctx context.Context, listener net.Listener) (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		conn, err := listener.Accept()
		var passing net.Error
		//lint:ignore SA1019 there is no other sign for failures that pass
		if err == nil || ctx.Err() != nil || !errors.As(err, &passing) || !passing.Temporary() {
			return conn, err
		}
		s.Log.Warn("cannot accept connections for now", "address", listener.Addr().String(), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Server) slot(ctx context.Context) bool {
	if s.slots == nil {
		return true
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) free() {
	if s.slots != nil {
		<-s.slots
	}
}

func (s *Server) start(conn net.Conn) {
	c := newServerConn(s, conn)
	s.conns.Add(1)
	s.guard.add(c)
	go func() {
		defer s.conns.Done()
		defer s.free()
		defer s.guard.remove(c)
		c.serve()
	}()
}

// Close stops accepting and closes all connections. It does not wait for their
// handlers.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx) // says only that ctx has ended
	return nil
}

// Shutdown stops accepting, lets the requests that are being handled finish,
// closes idle connections and returns when no connection is left. When ctx ends
// before that, it closes the rest, whose handlers will see errors, and returns
// the error of ctx at once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.prepare()
	s.mu.Lock()
	s.closing.Store(true)
	s.mu.Unlock()
	s.guard.each(func(w watched) {
		if l, ok := w.(*listening); ok {
			l.close()
		}
	})
	over := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(over)
	}()
	grace := time.NewTimer(s.IdleGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-over:
		return nil
	case <-ctx.Done():
	}
	s.woken.Store(true)
	s.guard.each(func(w watched) {
		if c, ok := w.(*serverConn); ok {
			c.wakeIdle()
		}
	})
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	s.guard.each(func(w watched) {
		if c, ok := w.(*serverConn); ok {
			c.socket.Close()
		}
	})
	return ctx.Err()
}

// date is the Date header line, made once a second.
type date struct {
	second atomic.Int64
	line   atomic.Pointer[[]byte]
}

func (d *date) refresh(now time.Time) {
	if second := now.Unix(); d.second.Load() != second {
		d.second.Store(second)
		line := []byte("Date: " + now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") + "\r\n")
		d.line.Store(&line)
	}
}
