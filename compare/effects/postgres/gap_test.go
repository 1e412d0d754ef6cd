package postgres_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	osexec "os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parallax/compare/effects/postgres"
	"parallax/internal/rig"

	"github.com/jackc/pgx/v5"
)

// lastGap returns the gap that ended last, which began with what is told of it.
func (r *reading) lastGap() gap {
	r.t.Helper()
	all := r.allGaps()
	last := all[len(all)-1]
	if last.until.IsZero() || last.until.Before(last.from) {
		r.t.Fatalf("a gap from %v until %v", last.from, last.until)
	}
	begun := false
	for _, g := range all[:len(all)-1] {
		begun = begun || g.until.IsZero() && g.from.Equal(last.from)
	}
	if !begun {
		r.t.Errorf("the gap from %v ended and never began", last.from)
	}
	return last
}

func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key); create table noise (v text)")
	r := read(t, s, s.DSN("postgres"), "t")
	s.SQL("postgres", "insert into t values (1)")
	if got := r.all(); len(got) != 1 {
		t.Fatalf("read %s", show(got))
	}
	stop := busyUntilKilled(t, s)
	for n := 2; n < 4; n++ {
		killed := time.Now()
		s.Kill()
		rig.Eventually(t, "the gap", func() error {
			if all := r.allGaps(); !all[len(all)-1].until.IsZero() {
				return errNotYet
			}
			return nil
		})
		if _, err := r.reader.Position(t.Context()); err == nil {
			t.Error("there is a position while nothing is read")
		}
		s.Start()
		r.untilReading(n)
		g := r.lastGap()
		if g.from.After(killed) || killed.Sub(g.from) > 5*time.Second || g.until.Before(killed) {
			t.Errorf("killed at %v, gap from %v until %v", killed, g.from, g.until)
		}
		s.SQL("postgres", fmt.Sprintf("insert into t values (%d)", n))
		if got := r.all(); len(got) != 1 || !strings.Contains(show(got), fmt.Sprintf("id:number=%d", n)) {
			t.Errorf("after crash %d: %s", n, show(got))
		}
	}
	stop()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}

// busyUntilKilled keeps a server at work, and comes back when it does.
func busyUntilKilled(t *testing.T, s *rig.PostgresServer) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
			for err == nil {
				select {
				case <-done:
					conn.Close(t.Context())
					return
				default:
					_, err = conn.Exec(t.Context(), "insert into noise values ('x')")
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

func TestConnectionIsKilled(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	r := read(t, s, s.DSN("postgres"), "t")
	for n := 2; n < 5; n++ {
		before := time.Now()
		s.SQL("postgres", "select count(pg_terminate_backend(pid)) from pg_stat_replication")
		r.untilReading(n)
		g := r.lastGap()
		if g.from.After(time.Now()) || g.until.Before(before) || !strings.Contains(g.why, "terminating connection") {
			t.Errorf("a gap %+v", g)
		}
		s.SQL("postgres", fmt.Sprintf("insert into t values (%d)", n))
		if got := r.all(); len(got) != 1 {
			t.Errorf("read %s", show(got))
		}
	}
	// The connection that asks is no gap: reading goes on.
	gaps := len(r.allGaps())
	s.SQL("postgres", "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'parallax' and backend_type = 'client backend'; insert into t values (100)")
	rig.Eventually(t, "positions again", func() error {
		_, err := r.reader.Position(t.Context())
		return err
	})
	if got := r.all(); len(got) != 1 || len(r.allGaps()) != gaps {
		t.Errorf("read %s with %d gaps of %d", show(got), len(r.allGaps()), gaps)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}

// TestSleepingServer: a server that does not answer is no reason to wait for ever, and
// one that wakes up goes on where it was.
func TestSleepingServer(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	r := read(t, s, s.DSN("postgres"), "t")
	until := r.reader.ReadUntil()
	s.Signal(syscall.SIGSTOP)
	if _, err := r.reader.Position(t.Context()); err == nil {
		t.Error("a sleeping server told its position")
	}
	s.Signal(syscall.SIGCONT)
	s.SQL("postgres", "insert into t values (1)")
	rig.Eventually(t, "positions again", func() error {
		_, err := r.reader.Position(t.Context())
		return err
	})
	if got := r.all(); len(got) != 1 {
		t.Errorf("read %s", show(got))
	}
	if !r.reader.ReadUntil().After(until) {
		t.Error("the time until which all was read stood still")
	}
}

// TestLostConnectionLosesItsSlot: the network between is cut, and the server has not
// noticed. With room for one slot only, the next one needs the first to be dropped.
func TestLostConnectionLosesItsSlot(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "max_replication_slots=1", "max_wal_senders=1")
	s.SQL("postgres", "create table t (id int primary key); create role reader login replication; grant create on database postgres to reader; alter table t owner to reader")
	wire := newWire(t, fmt.Sprintf("127.0.0.1:%d", s.Port))
	r := read(t, s, strings.Replace(s.As("reader", "postgres"), fmt.Sprint(s.Port), wire.port(), 1), "t")
	wire.cut()
	r.untilReading(2)
	if got := s.SQL("postgres", "select count(*) from pg_replication_slots"); got != "1" {
		t.Errorf("there are %s slots", got)
	}
	s.SQL("postgres", "insert into t values (1)")
	if got := r.all(); len(got) != 1 {
		t.Errorf("read %s", show(got))
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}

// wire forwards connections to a server.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	near     []net.Conn // to the clients
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l}
	var far []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			far = append(far, server)
			w.mu.Lock()
			w.near = append(w.near, near)
			w.mu.Unlock()
			wg.Go(func() { io.Copy(server, near) }) // the server is not told of its end
			wg.Go(func() { io.Copy(near, server) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		for _, each := range far {
			each.Close()
		}
		wg.Wait()
	})
	return w
}

func (w *wire) port() string { return fmt.Sprint(w.listener.Addr().(*net.TCPAddr).Port) }

// cut takes the connections from the clients, and leaves them to the server.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, each := range w.near {
		each.Close()
	}
	w.near = nil
}

// TestSlotWaitsForOpenTransactions: the gap says what it waits for, and ending then
// leaves nothing behind.
func TestSlotWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	conn := connect(t, s.DSN("postgres")+"&application_name=nightly")
	exec(t, conn, "begin")
	exec(t, conn, "insert into t values (1)")
	r := start(t, s, postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}})
	rig.Eventually(t, "the reason", func() error {
		for _, g := range r.allGaps() {
			if strings.Contains(g.why, "waits for open transactions") && strings.Contains(g.why, "nightly") {
				return nil
			}
		}
		return errNotYet
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)

	again := start(t, s, postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}})
	exec(t, conn, "insert into t values (2)")
	exec(t, conn, "commit")
	again.untilReading(1)
	if got := again.all(); len(got) != 0 {
		t.Logf("what was committed while the slot was made may be read: %s", show(got))
	}
}

// TestTableIsSwapped: an online migration puts another table in the place of one. The
// reader notices, and the time since it last looked is a gap.
func TestTableIsSwapped(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key); create table t_new (id int primary key, more int)")
	r := read(t, s, s.DSN("postgres"), "t")
	swapped := time.Now()
	s.SQL("postgres", "begin; alter table t rename to t_old; alter table t_new rename to t; commit; insert into t values (1)")
	r.untilReading(2)
	if g := r.lastGap(); g.from.After(swapped) || !strings.Contains(g.why, "t is not in publication parallax") {
		t.Errorf("swapped at %v, gap %+v", swapped, g)
	}
	s.SQL("postgres", "insert into t values (2, 3)")
	if got := show(r.all()); !strings.Contains(got, "more:number=3") {
		t.Errorf("read %s", got)
	}
	s.SQL("postgres", "alter table t drop constraint t_new_pkey")
	rig.Eventually(t, "the reason", func() error {
		if all := r.allGaps(); !strings.Contains(all[len(all)-1].why, "no replica identity") {
			return errNotYet
		}
		return nil
	})
	s.SQL("postgres", "alter table t add primary key (id)")
	r.untilReading(3)
}

// TestRowsBeyondAnyMeasure: a row of more than 64 MiB ends the connection, not
// Parallax.
func TestRowsBeyondAnyMeasure(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key, v text)")
	r := read(t, s, s.DSN("postgres"), "t")
	s.SQL("postgres", "insert into t values (1, repeat('x', 70000000))")
	r.untilReading(2)
	if g := r.lastGap(); !strings.Contains(g.why, "body") {
		t.Errorf("a gap %+v", g)
	}
	s.SQL("postgres", "insert into t values (2, '')")
	if got := r.all(); len(got) != 1 {
		t.Errorf("read %s", show(got))
	}
}

// TestParallaxIsKilled: a reader that is killed leaves no slot behind.
func TestParallaxIsKilled(t *testing.T) {
	if dsn := os.Getenv("PARALLAX_TEST_READ"); dsn != "" {
		read(t, nil, dsn, "t")
		fmt.Println("reading")
		select {} // until it is killed
	}
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key); create table noise (v text)")
	stop := busyUntilKilled(t, s)
	defer stop()
	cmd := osexec.Command(os.Args[0], "-test.run", "^TestParallaxIsKilled$")
	cmd.Env = append(os.Environ(), "PARALLAX_TEST_READ="+s.DSN("postgres"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "reading\n" {
		t.Errorf("the other process said %q, %v", line, err)
	}
	if got := s.SQL("postgres", "select count(*) from pg_replication_slots"); got != "1" {
		t.Errorf("there are %s slots", got)
	}
	cmd.Process.Kill()
	cmd.Wait() // killed
	rig.Eventually(t, "the slot's end", func() error {
		if got := s.SQL("postgres", "select count(*) from pg_replication_slots"); got != "0" {
			return errNotYet
		}
		return nil
	})
	noSlotIsLeft(t, s)
}

// TestFirstHostThatIsPrimary: of several hosts the primary is read.
func TestFirstHostThatIsPrimary(t *testing.T) {
	t.Parallel()
	s, standby := rig.Postgres(t), rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	standby.Standby()
	r := read(t, s, fmt.Sprintf("postgres://postgres@127.0.0.1:1,127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=prefer", standby.Port, s.Port), "t")
	s.SQL("postgres", "insert into t values (1)")
	if got := r.all(); len(got) != 1 {
		t.Errorf("read %s", show(got))
	}
}

// TestSlotIsGivenUp: a transaction that stays open makes the server keep its log for the
// slot. Beyond the bound the slot goes, and reading begins anew when it can.
func TestSlotIsGivenUp(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	r := start(t, s, postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}, MaxLag: 8 << 20})
	r.untilReading(1)
	conn := connect(t, s.DSN("postgres"))
	exec(t, conn, "begin")
	exec(t, conn, "insert into t values (1)")
	s.SQL("postgres", "select count(pg_logical_emit_message(false, 'noise', repeat('x', 1 << 20))) from generate_series(1, 20)")
	rig.Eventually(t, "the slot's end", func() error {
		for _, g := range r.allGaps() {
			if strings.Contains(g.why, "max_lag is 8 MiB") {
				return nil
			}
		}
		return errNotYet
	})
	exec(t, conn, "commit")
	r.untilReading(2)
	s.SQL("postgres", "insert into t values (2)")
	if got := show(r.all()); !strings.Contains(got, "id:number=2") {
		t.Errorf("read %s", got)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}

// TestServerThatNeverAnswers: a server that takes connections and says nothing, or falls
// silent while a slot is made, keeps nothing waiting for ever: the reader tries again, and
// ends when it is told to.
func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	conn := connect(t, s.DSN("postgres"))
	exec(t, conn, "begin")
	exec(t, conn, "insert into t values (1)") // A new slot waits for it.
	r := start(t, s, postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}})
	why := func(text string) func() error {
		return func() error {
			var last string
			for _, g := range r.allGaps() {
				last = g.why
			}
			if !strings.Contains(last, text) {
				return fmt.Errorf("the reason is %q", last)
			}
			return nil
		}
	}
	rig.Eventually(t, "a slot being made", why("waits for open transactions"))
	s.Signal(syscall.SIGSTOP)
	rig.Eventually(t, "giving up", why("deadline"))
	s.Signal(syscall.SIGCONT)
	exec(t, conn, "commit")
	r.untilReading(1)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}
