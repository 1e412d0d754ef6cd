package rig_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"parallax/internal/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "max_wal_senders=3")
	if got := s.SQL("postgres", "show wal_level; show max_wal_senders; create table kept (n int); insert into kept values (1), (2);"); got != "logical\n3" {
		t.Errorf("settings are %q", got)
	}
	s.Kill()
	s.Start()
	if got := s.SQL("postgres", "select sum(n) from kept"); got != "3" {
		t.Errorf("after a crash there is %q", got)
	}
	s.Stop()
	s.Start()
	other := rig.Postgres(t)
	if got := other.SQL("postgres", "select to_regclass('kept') is null"); got != "t" {
		t.Error("two servers share a cluster")
	}
}

// TestPostgresPort: a port that somebody took meanwhile is waited for.
func TestPostgresPort(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.Stop()
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.Start()
	}()
	rig.Eventually(t, "a try", func() error {
		if !strings.Contains(s.Log(), "Address already in use") {
			return errors.New("none yet")
		}
		return nil
	})
	taken.Close()
	<-started
	if got := s.SQL("postgres", "select 1"); got != "1" {
		t.Errorf("it answers %q", got)
	}
}
