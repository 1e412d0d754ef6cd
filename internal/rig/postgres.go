package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// PostgresServer is a real PostgreSQL server with an empty cluster of its own. Its
// superuser is postgres; everybody on this machine is trusted.
type PostgresServer struct {
	Port int

	t        testing.TB
	bin, dir string
	as       *syscall.Credential // nil: as who runs the test
	settings []string
	cmd      *exec.Cmd // nil while stopped
	done     chan struct{}
	served   bool // its port is known to others
	logs     *lockedBuffer
}

// postgresSettings hold unless a test says otherwise. A crash of the server loses
// nothing without fsync, as the system lives on.
var postgresSettings = []string{
	"wal_level=logical", "max_wal_senders=10", "max_replication_slots=10",
	"fsync=off", "listen_addresses=127.0.0.1", "shared_buffers=32MB", "log_min_messages=warning",
}

// Postgres starts a server with a new cluster and settings such as
// "wal_level=replica", and returns when it takes connections. It is stopped and
// removed when the test ends; its log is shown when the test failed.
func Postgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		t.Fatal(err)
	}
	as, err := postgresUser()
	if err != nil {
		t.Fatal(err)
	}
	s := &PostgresServer{t: t, bin: bin, as: as, settings: settings, Port: freePort(t), logs: &lockedBuffer{}}
	t.Cleanup(s.remove)
	if s.dir, err = postgresDir(as); err == nil {
		err = s.fill()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}

// DSN is the connection string of a database for the superuser.
func (s *PostgresServer) DSN(database string) string { return s.As("postgres", database) }

// As is the connection string of a database for a role.
func (s *PostgresServer) As(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.Port, database)
}

// SocketDSN is DSN through a socket of the file system, which costs less than TCP.
func (s *PostgresServer) SocketDSN(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%d&sslmode=disable", database, s.dir, s.Port)
}

// Bin returns the path of one of PostgreSQL's programs.
func (s *PostgresServer) Bin(program string) string { return filepath.Join(s.bin, program) }

// SQL runs statements through psql as the superuser, each in a transaction of its
// own, and returns what they print, unaligned and without headers.
func (s *PostgresServer) SQL(database, statements string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", s.SocketDSN(database))
	cmd.Stdin = strings.NewReader(statements)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("psql: %v\n%s\n%s", err, errs.String(), statements)
	}
	return strings.TrimSpace(string(out))
}

// Start starts a server that was stopped or killed, on the port it had.
func (s *PostgresServer) Start() {
	s.t.Helper()
	Eventually(s.t, "PostgreSQL's start", func() error {
		if s.cmd == nil {
			s.launch()
		}
		select {
		case <-s.done:
			log := s.logs.String()
			s.cmd = nil
			if !strings.Contains(log, "Address already in use") { // by a connection of somebody, for a moment
				s.t.Fatalf("PostgreSQL ended while it started:\n%s", log)
			}
			if !s.served {
				s.Port = freePort(s.t)
			}
			return errors.New("its port is taken")
		default:
		}
		return exec.Command(filepath.Join(s.bin, "pg_isready"), "-q", "-U", "postgres", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port)).Run()
	})
	s.served = true
}

func (s *PostgresServer) launch() {
	s.t.Helper()
	args := []string{"-D", s.dir, "-p", strconv.Itoa(s.Port), "-k", s.dir}
	for _, each := range append(slices.Clone(postgresSettings), s.settings...) {
		args = append(args, "-c", each)
	}
	s.cmd, s.done = exec.Command(filepath.Join(s.bin, "postgres"), args...), make(chan struct{})
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.logs, s.logs
	// A test that is killed takes its servers with it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGQUIT}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		cmd.Wait() // its exit code is in ProcessState
		close(done)
	}(s.cmd, s.done)
}

// PID is the id of the server's first process, whose children are all others.
func (s *PostgresServer) PID() int { return s.cmd.Process.Pid }

// Log returns what the server has logged.
func (s *PostgresServer) Log() string { return s.logs.String() }

// Stop ends the server as a deploy would: connections are closed, transactions
// rolled back.
func (s *PostgresServer) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server with all its processes at once, as a crash would.
func (s *PostgresServer) Kill() { s.end(syscall.SIGKILL) }

// Signal sends the server and all its processes a signal, such as SIGSTOP.
func (s *PostgresServer) Signal(signal syscall.Signal) {
	children := childrenOf(s.cmd.Process.Pid)
	s.cmd.Process.Signal(signal) // it may have ended
	for _, pid := range children {
		syscall.Kill(pid, signal) // it may have ended
	}
}

func (s *PostgresServer) end(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	if signal == syscall.SIGKILL {
		s.Signal(signal)
	} else {
		s.cmd.Process.Signal(signal) // it may have ended
	}
	<-s.done
	s.cmd = nil
}

func (s *PostgresServer) remove() {
	s.end(syscall.SIGQUIT)
	os.RemoveAll(s.dir)
	if s.t.Failed() {
		s.t.Logf("log of PostgreSQL on port %d:\n%s", s.Port, s.logs.String())
	}
}

// clusters is a new cluster that others are copied from, made once.
var clusters struct {
	once sync.Once
	dir  string
	err  error
}

// fill copies a new cluster into the server's folder.
func (s *PostgresServer) fill() error {
	clusters.once.Do(func() {
		if clusters.dir, clusters.err = postgresDir(s.as); clusters.err == nil {
			clusters.err = s.run(filepath.Join(s.bin, "initdb"), "-D", clusters.dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
		}
	})
	if clusters.err != nil {
		return clusters.err
	}
	return s.run("cp", "-a", "--reflink=auto", clusters.dir+"/.", s.dir)
}

func (s *PostgresServer) run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// postgresDir makes a folder that the server's user owns.
func postgresDir(as *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp("", "parallax-postgres-")
	if err == nil && as != nil {
		err = os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	return dir, err
}

// postgresUser is whom the server runs as: it refuses to be root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: run scripts/setup-test.sh, which makes the user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// postgresBin finds the folder of the server's programs: the newest version of
// Debian's, or where initdb is on PATH.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", fmt.Errorf("there is no PostgreSQL server: run scripts/setup-test.sh: %w", err)
		}
		return filepath.Dir(path), nil
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return postgresVersion(a) - postgresVersion(b) })), nil
}

func postgresVersion(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // what is no number is the oldest
	return n
}

// childrenOf lists the processes that a process started.
func childrenOf(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread that ended has no children
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Standby restarts the server as a standby of nobody: it takes no writes.
func (s *PostgresServer) Standby() {
	s.t.Helper()
	s.Stop()
	if err := s.run("touch", filepath.Join(s.dir, "standby.signal")); err != nil {
		s.t.Fatal(err)
	}
	s.Start()
}

// Encrypt restarts the server so that over TCP it takes TLS alone, from whoever shows a certificate of
// the authority for the role. The socket goes on taking everybody.
func (s *PostgresServer) Encrypt(a *Authority) {
	s.t.Helper()
	cert, key := a.Issue("localhost")
	for name, from := range map[string]string{"server.crt": cert, "server.key": key, "ca.crt": a.File} {
		text, err := os.ReadFile(from)
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(name, text)
	}
	s.write("pg_hba.conf", []byte("local all all trust\nhostssl all all 127.0.0.1/32 cert\nhostssl replication all 127.0.0.1/32 cert\n"))
	s.settings = append(s.settings, "ssl=on", "ssl_ca_file=ca.crt")
	s.Stop()
	s.Start()
}

// write writes a file of the server's folder that only it may read.
func (s *PostgresServer) write(name string, text []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	err := os.WriteFile(path, text, 0o600)
	if err == nil && s.as != nil {
		err = os.Chown(path, int(s.as.Uid), int(s.as.Gid))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
