package rig_test

import (
	"os"
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
