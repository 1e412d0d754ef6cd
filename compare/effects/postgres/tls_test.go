package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"parallax/compare/effects/postgres"
	"parallax/internal/rig"
)

// TestReadsOverTLS: a reader's connections are encrypted, verify the server, and show a certificate,
// as the address says in libpq's words.
func TestReadsOverTLS(t *testing.T) {
	t.Parallel()
	s, authority := rig.Postgres(t), rig.NewAuthority(t)
	s.SQL("postgres", "create table t (id int primary key)")
	s.Encrypt(authority)
	cert, key := authority.Issue("postgres")
	address := func(ca, more string) string {
		return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=verify-full&sslrootcert=%s%s", s.Port, ca, more)
	}
	ours := fmt.Sprintf("&sslcert=%s&sslkey=%s", cert, key)
	r := read(t, s, address(authority.File, ours), "t")
	s.SQL("postgres", "insert into t values (1)")
	if got := show(r.all()); !strings.Contains(got, "insert t (id:number=1)") {
		t.Errorf("read %q", got)
	}
	if got := s.SQL("postgres", "select bool_and(ssl) and count(*) >= 2 from pg_stat_ssl join pg_stat_activity using (pid) where client_addr is not null"); got != "t" {
		t.Errorf("every connection, of two and more, has TLS: %s", got)
	}
	for name, f := range map[string]struct{ dsn, want string }{
		"another's server":            {address(rig.NewAuthority(t).File, ours), "certificate signed by unknown authority"},
		"no certificate of one's own": {address(authority.File, ""), "certificate"},
		"no TLS":                      {s.DSN("postgres"), "pg_hba.conf"},
	} {
		if got := faults(postgres.Check(t.Context(), postgres.Source{DSN: f.dsn, Tables: []string{"t"}})); !strings.Contains(got, f.want) {
			t.Errorf("%s: %q, want %q in it", name, got, f.want)
		}
	}
}
