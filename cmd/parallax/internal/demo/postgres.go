package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is a PostgreSQL server of the demo's own on the loopback interface.
type database struct {
	dir  string // of its cluster and its log
	port string
	done chan struct{} // closed when the server has ended
	end  context.CancelFunc
}

// How long a database may take.
const (
	databasePatience = 60 * time.Second // to be made and to take connections
	databaseGoodbye  = 10 * time.Second // to stop before it is killed
)

// serverPrograms is the folder of PostgreSQL's server programs: Debian keeps them off
// PATH, by version.
func serverPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // what is no number is the oldest
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("there is no PostgreSQL server on this machine: install it (Debian: apt-get install postgresql; make demo does so)")
	}
	return filepath.Dir(path), nil
}

// asPostgres returns a command that runs as the user postgres where this process is
// root, whom PostgreSQL refuses to be.
func asPostgres(ctx context.Context, program string, args ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		args = append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT", program}, args...)
		program = "setpriv"
	}
	return exec.CommandContext(ctx, program, args...)
}

// startDatabase makes a cluster and returns when its server takes connections. Whoever
// calls it calls stop.
func startDatabase(ctx context.Context, bin, port string) (*database, error) {
	dir, err := os.MkdirTemp("", "parallax-demo-postgres-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for a database: %w", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	d := &database{dir: dir, port: port, done: make(chan struct{}), end: end}
	wait, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	if err := d.initialize(wait, bin); err != nil {
		close(d.done)
		d.stop()
		return nil, err
	}
	go d.serve(life, bin)
	if err := d.ready(wait); err != nil {
		text, _ := os.ReadFile(d.log()) // without it the error has to do
		d.stop()
		return nil, fmt.Errorf("PostgreSQL on port %s takes no connections: %w; its log:\n%s", port, err, text)
	}
	return d, nil
}

func (d *database) log() string { return filepath.Join(d.dir, "server.log") }

// dsn is its connection string. Everybody on this machine is trusted.
func (d *database) dsn() string {
	return "postgres://postgres@127.0.0.1:" + d.port + "/postgres?sslmode=disable"
}

func (d *database) initialize(ctx context.Context, bin string) error {
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return fmt.Errorf("PostgreSQL does not run as root: run the demo as another user, or install Debian's package postgresql, which makes the user postgres: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid) // both are numbers where there is a root
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(d.dir, uid, gid); err != nil {
			return fmt.Errorf("cannot give a database's folder to its user: %w", err)
		}
	}
	cmd := asPostgres(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(d.dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	cmd.Dir = d.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a database with initdb: %w\n%s", err, out)
	}
	return nil
}

// serve runs the server until life ends. The thread that starts it lasts as long, as
// the kernel kills a child whose parent's thread is gone.
func (d *database) serve(life context.Context, bin string) {
	defer close(d.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := os.Create(d.log())
	if err != nil {
		return // ready says that nobody answers
	}
	defer func() { _ = log.Close() }()
	args := []string{"-D", filepath.Join(d.dir, "data"), "-p", d.port}
	for _, each := range []string{"wal_level=logical", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=32MB"} {
		args = append(args, "-c", each)
	}
	cmd := asPostgres(life, filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, log, log
	dieWithParent(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // a fast shutdown
	cmd.WaitDelay = databaseGoodbye
	_ = cmd.Run() // how it ended is in its log
}

// ready waits until the server takes connections.
func (d *database) ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, d.dsn())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-d.done:
			return errors.New("it ended while it started")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the server and removes its folder.
func (d *database) stop() {
	d.end()
	<-d.done
	_ = os.RemoveAll(d.dir)
}
