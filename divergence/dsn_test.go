package divergence

import (
	"strings"
	"testing"
)

func TestParseDSN(t *testing.T) {
	t.Parallel()
	good := func(dsn, address, database string) {
		t.Helper()
		opts, err := ParseDSN(dsn)
		if err != nil || opts.Addr[0] != address || opts.Auth.Database != database {
			t.Errorf("%q: %+v, %v", dsn, opts, err)
		}
	}
	good("http://u:p@db:8123/parallax", "db:8123", "parallax")
	good("clickhouse://db:9000", "db:9000", "")
	for _, dsn := range []string{"db:8123:secret-word", "http://u:secret-word@db:port/x", "ftp://u:secret-word@db/x"} {
		_, err := ParseDSN(dsn)
		if err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%q: error %v; want one without the password", dsn, err)
		}
	}
}
