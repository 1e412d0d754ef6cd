package divergence

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Options say how a ClickHouse is reached.
type Options = clickhouse.Options

// ParseDSN reads the address of a ClickHouse server, such as
// http://user:password@host:8123/parallax or clickhouse://host:9000/parallax.
// Its errors do not repeat the address, which may hold a password.
func ParseDSN(dsn string) (*clickhouse.Options, error) {
	if scheme, _, ok := strings.Cut(dsn, "://"); !ok || !slices.Contains([]string{"http", "https", "clickhouse"}, scheme) {
		return nil, errors.New("cannot read the address of the ClickHouse server: it begins with none of http://, https://, clickhouse://")
	}
	opts, err := clickhouse.ParseDSN(secured(dsn))
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("cannot read the address of the ClickHouse server: %s", strings.ReplaceAll(strings.ReplaceAll(err.Error(), secured(dsn), "it"), dsn, "it"))
	}
	return opts, nil
}

// secured adds to an https address what the library wants to read beside the scheme.
func secured(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "https" || u.Query().Has("secure") {
		return dsn
	}
	q := u.Query()
	q.Set("secure", "true")
	u.RawQuery = q.Encode()
	return u.String()
}
