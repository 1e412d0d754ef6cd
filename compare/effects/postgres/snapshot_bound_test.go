package postgres

import (
	"testing"

	"parallax/internal/rig"
)

// TestSnapshotIsLetGoOf: the server ends a snapshot that nobody closes, whatever shorter or
// longer bound its database has.
func TestSnapshotIsLetGoOf(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "alter database postgres set idle_in_transaction_session_timeout = '1ms'")
	snapshot, err := Export(t.Context(), Source{DSN: s.DSN("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var bound string
	if err := snapshot.conn.QueryRow(t.Context(), "show idle_in_transaction_session_timeout").Scan(&bound); err != nil || bound != "1d" {
		t.Errorf("the server lets go of it after %q (%v), want a day", bound, err)
	}
}
