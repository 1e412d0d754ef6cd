package embedded

import (
	"strings"
	"testing"
)

func TestLaneOfStatement(t *testing.T) {
	t.Parallel()
	f := func(sql string, want lane) {
		t.Helper()
		got, err := parseStatement(sql)
		if err != nil || got.lane != want || got.hasData {
			t.Errorf("%q: got lane %d, data %v, %v; want lane %d", sql, got.lane, got.hasData, err, want)
		}
	}
	f("SELECT 1", reading)
	f(" \n(select 1);\n; -- ; done", reading)
	f("/* a */ -- b\n# c\n#! d\nWITH 1 AS x SELECT x", reading)
	f("SHOW TABLES", reading)
	f("DESCRIBE TABLE t", reading)
	f("EXPLAIN SELECT 1", reading)
	f("EXISTS TABLE t", reading)
	f("KILL QUERY WHERE 1", reading)
	f("SELECT ';', \";\", `;`, 'it''s ;', '\\';', $$ ; $$, $x$ ;$$ $x$", reading)
	f("CREATE TABLE t (a UInt8) ENGINE = Memory", writing)
	f("ALTER TABLE t DROP COLUMN a", writing)
	f("OPTIMIZE TABLE t FINAL", writing)
	f("SELECTED", writing)
	f("'SELECT'", writing)
	f("INSERT INTO t SELECT 1 FORMAT CSV", writing)
	f("INSERT INTO t (a) WITH 1 AS x SELECT x", writing)
	f("INSERT INTO t FROM INFILE 'x' FORMAT CSV", writing)
	f("INSERT INTO t", writing)
	f("INSERT INTO t FORMAT", writing)
	f("INSERT", writing)
}

func TestSecondStatementIsRefused(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT 1; SELECT 2", "SELECT 1;;DROP TABLE t", "CREATE TABLE t (a Int8) ENGINE = Memory; x",
		"INSERT INTO t SELECT 1; DROP TABLE t", "INSERT INTO t; DROP TABLE t", "INSERT INTO t (a) ; DROP TABLE t",
		"SELECT $$a$$; DROP TABLE t", "SELECT '\\\\'; DROP TABLE t -- '",
	} {
		if st, err := parseStatement(sql); err == nil || !strings.Contains(err.Error(), "Multi-statements") {
			t.Errorf("%q: got %+v, %v", sql, st, err)
		}
	}
}

func TestInsertWithRows(t *testing.T) {
	t.Parallel()
	f := func(sql, fromFile, rows string) {
		t.Helper()
		st, err := parseStatement(sql)
		if err != nil || !st.hasData || st.lane != writing {
			t.Errorf("%q: got %+v, %v", sql, st, err)
			return
		}
		if got := strings.Join(strings.Fields(st.fromFile("f")), " "); got != fromFile || sql[st.data:] != rows {
			t.Errorf("%q: got %q with rows %q, want %q with %q", sql, got, sql[st.data:], fromFile, rows)
		}
	}
	f("INSERT INTO t FORMAT Native", "INSERT INTO t FROM INFILE 'f' FORMAT Native", "")
	f("insert into db.t (a, b) format CSV \r\n1,2\n", "insert into db.t (a, b) FROM INFILE 'f' FORMAT CSV", "1,2\n")
	f("INSERT INTO TABLE `a b`.\"c\" (`format`) VALUES (1), (2)", "INSERT INTO TABLE `a b`.\"c\" (`format`) FROM INFILE 'f' FORMAT Values", " (1), (2)")
	f("INSERT INTO values FORMAT CSV\n\nx", "INSERT INTO values FROM INFILE 'f' FORMAT CSV", "\nx")
	f("INSERT INTO format SETTINGS a = 1, b = 'FORMAT' FORMAT TSV x", "INSERT INTO format FROM INFILE 'f' SETTINGS a = 1, b = 'FORMAT' FORMAT TSV", "x")
	f("INSERT INTO FUNCTION null('a Int8') VALUES (1)", "INSERT INTO FUNCTION null('a Int8') FROM INFILE 'f' FORMAT Values", " (1)")
	f("INSERT t FORMAT JSONEachRow{\"a\":1}", "INSERT t FROM INFILE 'f' FORMAT JSONEachRow", "{\"a\":1}")
}

func FuzzParseStatement(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1", "INSERT INTO t (a) SETTINGS x=1 FORMAT CSV\n1", "INSERT INTO t VALUES (';')", "$a$;$a$", "'\\", "/*", "INSERT INTO a.b.c (", "SELECT 1;SELECT 2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st, err := parseStatement(sql)
		if err != nil {
			return
		}
		if st.text != sql {
			t.Fatalf("the text became %q", st.text)
		}
		if !st.hasData {
			return
		}
		if st.lane != writing || st.data < 0 || st.data > len(sql) || !strings.HasPrefix(sql, st.head+st.settings) {
			t.Fatalf("taken apart as %+v", st)
		}
		// Without its rows it still is that INSERT, and asks for nothing else.
		again, err := parseStatement(sql[:st.data])
		if err != nil || again.head != st.head || again.settings != st.settings || again.format != st.format {
			t.Fatalf("%q without rows: %+v, %v", sql[:st.data], again, err)
		}
	})
}
